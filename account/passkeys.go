// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// The kinds of a ceremony. One begun for one thing can't be ended as another.
const (
	ceremonySignUp     = "signup"
	ceremonySignIn     = "signin"
	ceremonyAddPasskey = "passkey"
	ceremonyRecover    = "recover"

	ceremonyLife = 5 * time.Minute
)

// user shows an account to go-webauthn. The user handle is the account id: it is
// random and names nobody.
type user struct {
	account     vault.AccountID
	credentials []webauthn.Credential
}

func (u user) WebAuthnID() []byte                         { return u.account[:] }
func (u user) WebAuthnName() string                       { return "Sotto " + u.account.String()[:6] }
func (u user) WebAuthnDisplayName() string                { return u.WebAuthnName() }
func (u user) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

func (s *Server) loadUser(r *http.Request, account vault.AccountID) (user, error) {
	list, err := s.store.Passkeys(r.Context(), account)
	if err != nil {
		return user{}, err
	}
	u := user{account: account}
	for _, p := range list {
		c := webauthn.Credential{
			ID:            p.ID,
			PublicKey:     p.PublicKey,
			Flags:         webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(p.Flags)),
			Authenticator: webauthn.Authenticator{SignCount: p.SignCount},
		}
		for _, t := range p.Transports {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
		}
		u.credentials = append(u.credentials, c)
	}
	return u, nil
}

// begin keeps what go-webauthn must get back, under the hash of the challenge.
func (s *Server) begin(r *http.Request, kind string, account *vault.AccountID, session *webauthn.SessionData) error {
	data, err := json.Marshal(session)
	if err != nil {
		return err
	}
	challenge, err := base64.RawURLEncoding.DecodeString(session.Challenge)
	if err != nil {
		return err
	}
	return s.store.BeginCeremony(r.Context(), sha256.Sum256(challenge), store.Ceremony{Kind: kind, Account: account, Data: data},
		s.now(), s.now().Add(ceremonyLife))
}

// end takes the ceremony that a credential answers. Whatever comes of it, the
// same challenge never works again.
func (s *Server) end(r *http.Request, kind, challenge string) (store.Ceremony, webauthn.SessionData, error) {
	var session webauthn.SessionData
	b, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil {
		return store.Ceremony{}, session, errCeremony
	}
	c, err := s.store.EndCeremony(r.Context(), sha256.Sum256(b), kind, s.now())
	if err != nil {
		return c, session, translate(err, map[error]*problem{store.ErrNotFound: errCeremony})
	}
	if err := json.Unmarshal(c.Data, &session); err != nil {
		return c, session, fmt.Errorf("ceremony: %w", err)
	}
	return c, session, nil
}

func (s *Server) beginRegistration(r *http.Request, kind string, u user) (*protocol.PublicKeyCredentialCreationOptions, error) {
	var exclude []protocol.CredentialDescriptor
	for _, c := range u.credentials {
		exclude = append(exclude, c.Descriptor())
	}
	creation, session, err := s.webauthn.BeginRegistration(u,
		webauthn.WithExclusions(exclude),
		webauthn.WithExtensions(
			webauthn.WithExtensionPRF(protocol.PRFValues{First: vault.PRFInput()}),
			webauthn.WithExtensionCredProps(),
		))
	if err != nil {
		return nil, fmt.Errorf("webauthn: %w", err)
	}
	return &creation.Response, s.begin(r, kind, &u.account, session)
}

// finishRegistration checks a new credential and returns it with its account.
func (s *Server) finishRegistration(r *http.Request, kind string, credential json.RawMessage) (vault.AccountID, store.Passkey, error) {
	var none vault.AccountID
	parsed, err := protocol.ParseCredentialCreationResponseBytes(credential)
	if err != nil {
		return none, store.Passkey{}, errMalformed
	}
	if err := refusePRF(parsed.ClientExtensionResults); err != nil {
		return none, store.Passkey{}, err
	}
	c, session, err := s.end(r, kind, parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return none, store.Passkey{}, err
	}
	if c.Account == nil {
		return none, store.Passkey{}, errors.New("account: registration without an account")
	}
	made, err := s.webauthn.CreateCredential(user{account: *c.Account}, session, parsed)
	if err != nil {
		return none, store.Passkey{}, fmt.Errorf("%w: %w", errPasskeyRefused, err)
	}
	p := store.Passkey{
		ID: made.ID, PublicKey: made.PublicKey, SignCount: made.Authenticator.SignCount,
		Flags: byte(parsed.Response.AttestationObject.AuthData.Flags), Created: s.today(), Used: s.today(),
	}
	for _, t := range made.Transport {
		if knownTransports[t] {
			p.Transports = append(p.Transports, string(t))
		}
	}
	return *c.Account, p, nil
}

// knownTransports are those of WebAuthn Level 3. Others, which a client could
// use to store words, are left out.
var knownTransports = map[protocol.AuthenticatorTransport]bool{
	protocol.USB: true, protocol.NFC: true, protocol.BLE: true, protocol.Hybrid: true, protocol.Internal: true, protocol.SmartCard: true,
}

// refusePRF refuses a credential that still carries an output of the PRF
// extension, which opens the vault and must never come here. It is checked
// before anything else and is neither kept nor logged.
func refusePRF(outputs protocol.AuthenticationExtensionsClientOutputs) error {
	if outputs.PRF != nil && outputs.PRF.Results != nil || outputs.HMACGetSecret != nil {
		return errPRFLeaked
	}
	return nil
}

func (s *Server) signUpBegin(r *http.Request) (any, error) {
	if err := read(r, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	u := user{account: vault.NewAccountID()}
	options, err := s.beginRegistration(r, ceremonySignUp, u)
	if err != nil {
		return nil, err
	}
	return map[string]any{"account": u.account, "publicKey": options}, nil
}

func (s *Server) signUpFinish(r *http.Request) (any, error) {
	var body struct {
		Credential json.RawMessage `json:"credential"`
		Wraps      []vault.Wrap    `json:"wraps"`
		Label      []byte          `json:"label"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	if err := checkLabel(body.Label); err != nil {
		return nil, err
	}
	if len(body.Wraps) < 2 || len(body.Wraps) > 8 {
		return nil, errWrapsMissing
	}
	for _, w := range body.Wraps {
		if err := checkWrap(w, vault.KindPasskey, vault.KindRecovery, vault.KindPassphrase); err != nil {
			return nil, err
		}
	}
	account, passkey, err := s.finishRegistration(r, ceremonySignUp, body.Credential)
	if err != nil {
		return nil, err
	}
	token, n := s.newSession(store.Browser, body.Label)
	err = s.store.CreateAccount(r.Context(), account, passkey, body.Wraps, n)
	if err != nil {
		return nil, translate(err, map[error]*problem{
			store.ErrLastWayIn: errWrapsMissing,
			store.ErrExists:    errPasskeyTaken,
			store.ErrNotFound:  errWrapRefused,
		})
	}
	return &reply{cookie: s.cookie(token), body: map[string]any{"account": account, "session": infoOfNew(n)}}, nil
}

func (s *Server) signInBegin(r *http.Request) (any, error) {
	if err := read(r, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	assertion, session, err := s.webauthn.BeginDiscoverableLogin(
		webauthn.WithUserVerification(protocol.VerificationRequired),
		webauthn.WithAssertionExtensions(webauthn.WithExtensionPRF(protocol.PRFValues{First: vault.PRFInput()})))
	if err != nil {
		return nil, fmt.Errorf("webauthn: %w", err)
	}
	return map[string]any{"publicKey": assertion.Response}, s.begin(r, ceremonySignIn, nil, session)
}

func (s *Server) signInFinish(r *http.Request) (any, error) {
	var body struct {
		Credential json.RawMessage `json:"credential"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(body.Credential)
	if err != nil {
		return nil, errMalformed
	}
	if err := refusePRF(parsed.ClientExtensionResults); err != nil {
		return nil, err
	}
	_, session, err := s.end(r, ceremonySignIn, parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return nil, err
	}
	found, err := s.findUser(r, parsed.Response.UserHandle, parsed.RawID)
	if err != nil {
		return nil, err
	}
	_, credential, err := s.webauthn.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return found, nil }, session, parsed)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errPasskeyRefused, err)
	case credential.Authenticator.CloneWarning:
		return nil, errPasskeyCopied
	}
	err = s.store.PasskeyUsed(r.Context(), found.account, credential.ID, credential.Authenticator.SignCount,
		byte(parsed.Response.AuthenticatorData.Flags), s.today())
	if err != nil {
		return nil, translate(err, map[error]*problem{store.ErrNotFound: errPasskeyUnknown})
	}
	return s.enter(r, found.account)
}

// findUser returns the account that a credential says it is of, if the passkey
// is one of its.
func (s *Server) findUser(r *http.Request, handle, passkey []byte) (user, error) {
	if len(handle) != len(vault.AccountID{}) {
		return user{}, errPasskeyUnknown
	}
	u, err := s.loadUser(r, vault.AccountID(handle))
	if err != nil {
		return user{}, err
	}
	for _, c := range u.credentials {
		if string(c.ID) == string(passkey) {
			return u, nil
		}
	}
	return user{}, errPasskeyUnknown
}

func (s *Server) recoverBegin(r *http.Request) (any, error) {
	var body struct {
		RecoveryID vault.RecordID `json:"recovery_id"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	// Known or not, the id gets a challenge: this route tells nobody whether a
	// recovery key exists.
	challenge := make([]byte, 32)
	rand.Read(challenge)
	err := s.store.BeginCeremony(r.Context(), sha256.Sum256(challenge), store.Ceremony{Kind: ceremonyRecover, Data: body.RecoveryID[:]},
		s.now(), s.now().Add(ceremonyLife))
	return map[string]any{"challenge": challenge}, err
}

func (s *Server) recoverFinish(r *http.Request) (any, error) {
	var body struct {
		RecoveryID vault.RecordID `json:"recovery_id"`
		Challenge  []byte         `json:"challenge"`
		Signature  []byte         `json:"signature"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	c, err := s.store.EndCeremony(r.Context(), sha256.Sum256(body.Challenge), ceremonyRecover, s.now())
	if err != nil {
		return nil, translate(err, map[error]*problem{store.ErrNotFound: errCeremony})
	}
	account, wrap, err := s.store.RecoveryWrap(r.Context(), body.RecoveryID)
	if err != nil {
		return nil, translate(err, map[error]*problem{store.ErrNotFound: errRecoveryRefused})
	}
	key, err := wrap.RecoverySignInKey()
	if err != nil {
		return nil, err
	}
	if vault.RecordID(c.Data) != body.RecoveryID || !vault.VerifySignIn(key, body.RecoveryID, s.origin, body.Challenge, body.Signature) {
		return nil, errRecoveryRefused
	}
	return s.enter(r, account)
}

// passkeyInfo is a passkey as its owner sees it.
type passkeyInfo struct {
	ID      string    `json:"id"`
	Label   []byte    `json:"label,omitempty"`
	Created store.Day `json:"created"`
	Used    store.Day `json:"used"`
	Synced  bool      `json:"synced"`
	Wrapped bool      `json:"wrapped"`
}

func passkeyInfoOf(p store.Passkey, wrapped bool) passkeyInfo {
	flags := protocol.AuthenticatorFlags(p.Flags)
	return passkeyInfo{store.PasskeyRef(p.ID), p.Label, p.Created, p.Used, flags.HasBackupState(), wrapped}
}

func (s *Server) getPasskeys(r *http.Request, session store.Session) (any, error) {
	list, err := s.store.Passkeys(r.Context(), session.Account)
	if err != nil {
		return nil, err
	}
	wraps, err := s.store.Wraps(r.Context(), session.Account)
	if err != nil {
		return nil, err
	}
	wrapped := map[string]bool{}
	for _, w := range wraps {
		if w.Kind == vault.KindPasskey {
			wrapped[w.Ref] = true
		}
	}
	infos := make([]passkeyInfo, len(list))
	for i, p := range list {
		infos[i] = passkeyInfoOf(p, wrapped[store.PasskeyRef(p.ID)])
	}
	return map[string]any{"passkeys": infos}, nil
}

func (s *Server) addPasskeyBegin(r *http.Request, session store.Session) (any, error) {
	if err := read(r, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	u, err := s.loadUser(r, session.Account)
	if err != nil {
		return nil, err
	}
	options, err := s.beginRegistration(r, ceremonyAddPasskey, u)
	if err != nil {
		return nil, err
	}
	return map[string]any{"publicKey": options}, nil
}

func (s *Server) addPasskeyFinish(r *http.Request, session store.Session) (any, error) {
	var body struct {
		Credential json.RawMessage `json:"credential"`
		Wrap       *vault.Wrap     `json:"wrap"`
		Label      []byte          `json:"label"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	if err := checkLabel(body.Label); err != nil {
		return nil, err
	}
	if body.Wrap != nil {
		if err := checkWrap(*body.Wrap, vault.KindPasskey); err != nil {
			return nil, err
		}
	}
	account, p, err := s.finishRegistration(r, ceremonyAddPasskey, body.Credential)
	if err != nil {
		return nil, err
	}
	if account != session.Account {
		return nil, errCeremony
	}
	if body.Wrap != nil && body.Wrap.Ref != store.PasskeyRef(p.ID) {
		return nil, errWrapRefused
	}
	p.Label = body.Label
	if err := s.store.AddPasskey(r.Context(), account, p, body.Wrap); err != nil {
		if errors.Is(err, store.ErrExists) {
			return nil, errPasskeyTaken
		}
		return nil, translate(err, putWrapErrors)
	}
	return map[string]any{"passkey": passkeyInfoOf(p, body.Wrap != nil)}, nil
}

func passkeyID(r *http.Request) ([]byte, error) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(r.PathValue("id"))
	if err != nil || len(id) == 0 {
		return nil, errPasskeyGone
	}
	return id, nil
}

func (s *Server) labelPasskey(r *http.Request, session store.Session) (any, error) {
	id, err := passkeyID(r)
	if err != nil {
		return nil, err
	}
	label, err := readLabel(r)
	if err != nil {
		return nil, err
	}
	err = s.store.LabelPasskey(r.Context(), session.Account, id, label)
	return nil, translate(err, map[error]*problem{store.ErrNotFound: errPasskeyGone})
}

func (s *Server) deletePasskey(r *http.Request, session store.Session) (any, error) {
	id, err := passkeyID(r)
	if err != nil {
		return nil, err
	}
	err = s.store.DeletePasskey(r.Context(), session.Account, id)
	return nil, translate(err, map[error]*problem{store.ErrNotFound: errPasskeyGone, store.ErrLastWayIn: errLastWayIn})
}

func (s *Server) getWraps(r *http.Request, session store.Session) (any, error) {
	wraps, err := s.store.Wraps(r.Context(), session.Account)
	if err != nil {
		return nil, err
	}
	return map[string]any{"wraps": wraps}, nil
}

func (s *Server) putWrap(r *http.Request, session store.Session) (any, error) {
	id, err := pathID(r, errMalformed)
	if err != nil {
		return nil, err
	}
	var w vault.Wrap
	if err := read(r, maxBody, &w); err != nil {
		return nil, err
	}
	if w.ID != id {
		return nil, errMalformed
	}
	if err := checkWrap(w, vault.KindPasskey, vault.KindRecovery, vault.KindPassphrase); err != nil {
		return nil, err
	}
	return nil, translate(s.store.PutWrap(r.Context(), session.Account, w), putWrapErrors)
}

func (s *Server) deleteWrap(r *http.Request, session store.Session) (any, error) {
	id, err := pathID(r, errWrapUnknown)
	if err != nil {
		return nil, err
	}
	err = s.store.DeleteWrap(r.Context(), session.Account, id)
	return nil, translate(err, map[error]*problem{store.ErrNotFound: errWrapUnknown, store.ErrLastWayIn: errLastWayIn})
}
