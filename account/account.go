// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package account is the server of accounts: passkeys, sessions, the sealed
// history that devices sync through it, and the plans that people have. It knows no
// name, no e-mail address and no word of a chat: what it stores are public keys,
// sizes, days and ciphertext made by package vault. It signs the tokens that messages
// are paid with, and can't tell them when they are spent (package token).
//
// An account can be entered by a passkey (WebAuthn), by the recovery key (an
// Ed25519 signature), and by a terminal that a signed-in device has approved.
// Entering is not opening: the wraps that an entered account hands out open only
// with secrets that never come here.
//
// # HTTP interface
//
// All routes are below /api/v1/, take and give JSON (application/json), and are
// strict: unknown fields, trailing bytes and bodies above 64 KiB (feed: 24 MiB)
// are refused. []byte values are standard base64; ids are lower-case hex; days
// are "2026-11-23". A {} body may be left out. Answers carry Cache-Control:
// no-store. A failure is
//
//	{"error":{"code":"signed_out","message":"You are signed out. Sign in again."}}
//
// with a status and a code from the table in errors.go. Besides those named at
// a route, any route may answer malformed (400), too_large (413), cross_origin
// (403), slow_down (429, with Retry-After in seconds) or internal (500).
//
// A session is the cookie __Host-sotto_session (HttpOnly, SameSite=Strict,
// Secure; sotto_session and not Secure where the origin is plain http) or, for a terminal, the header
// "Authorization: Sotto TOKEN". Routes marked * need one and answer signed_out
// (401) without. Requests that change something are refused when a browser says
// that they come from another origin.
//
// Shapes used below:
//
//	Wrap     vault.Wrap: {"id","kind","ref"?,"params"?,"data"}
//	Session  {"id":hex16,"kind":"browser"|"terminal","label"?:base64,"created":day,"seen":day,"current":bool}
//	Passkey  {"id":base64url,"label"?:base64,"created":day,"used":day,"synced":bool,"wrapped":bool}
//	Put      vault.Put: {"id","collection","version","data","erase"?}
//	Entry    vault.Entry: {"seq","id","collection","version","size","data" or "digest","hash"}
//	Head     vault.Head: {"seq":n,"hash":hex32}
//	label    what vault.SealLabel made (113 bytes), so that names are not readable here
//
// Signing up. The account exists only when it has a recovery wrap and a second
// one (passkey or passphrase). The wraps are bound to the account id, hence it
// is told first. publicKey is PublicKeyCredentialCreationOptionsJSON or
// …RequestOptionsJSON with the PRF extension asked for (eval.first =
// vault.PRFInput). The credential is posted as credential.toJSON() gives it,
// but without clientExtensionResults.prf.results, which is the vault's key: a
// credential that still has it is refused with prf_leaked, and the page must
// throw that passkey's wrap away.
//
//	POST signup/begin   {} → {"account":hex16,"publicKey":{…}}
//	POST signup/finish  {"credential":{…},"wraps":[Wrap,…],"label"?} → {"account","session":Session} and the cookie
//	                    wraps_missing 422, ceremony_expired 409, passkey_refused 403, prf_leaked 422
//
// Signing in, with any passkey of the account (discoverable):
//
//	POST signin/begin   {} → {"publicKey":{…}}
//	POST signin/finish  {"credential":{…}} → {"account","session":Session,"wraps":[Wrap,…]} and the cookie
//	                    ceremony_expired 409, passkey_unknown 403, passkey_refused 403, passkey_copied 403, prf_leaked 422
//
// Signing in with the recovery key. The signature is vault.RecoveryKey.SignIn
// over the challenge and this server's origin. An unknown id gets a challenge
// too, and fails in the end like a wrong signature.
//
//	POST recover/begin  {"recovery_id":hex16} → {"challenge":base64 of 32 bytes}
//	POST recover/finish {"recovery_id","challenge","signature":base64} → like signin/finish
//	                    ceremony_expired 409, recovery_refused 403
//
// Sessions. Times are kept by the day. Removing a terminal's session removes its
// wrap too. Live streams of a removed session end.
//
//	GET    session *             → {"account","session":Session,"wraps":[Wrap,…]}
//	POST   signout *             → 204; forgets the session, clears the cookie
//	GET    sessions *            → {"sessions":[Session,…]}
//	PUT    sessions/{id}/label * {"label"} → 204; session_unknown 404
//	DELETE sessions/{id} *       → 204; session_unknown 404
//
// Passkeys and wraps. What would leave fewer than two wraps (terminals not
// counted), no recovery wrap, or no way in is refused with last_way_in (409).
// Terminals may read but not change them (browser_only, 403).
//
//	GET    passkeys *            → {"passkeys":[Passkey,…]}
//	POST   passkeys/begin *      {} → {"publicKey":{…}}
//	POST   passkeys/finish *     {"credential":{…},"wrap"?:Wrap,"label"?} → {"passkey":Passkey}
//	                             ceremony_expired 409, passkey_refused 403, prf_leaked 422, too_many 409
//	PUT    passkeys/{id}/label * {"label"} → 204; passkey_unknown 404
//	DELETE passkeys/{id} *       → 204, its wrap goes too; passkey_unknown 404, last_way_in 409
//	GET    wraps *               → {"wraps":[Wrap,…]}
//	PUT    wraps/{id} *          Wrap → 204, new or in the place of the one with this id; wrap_refused 422, too_many 409
//	DELETE wraps/{id} *          → 204; wrap_unknown 404, last_way_in 409
//
// The feed. A page starts after since (default 0), has at most limit entries
// (default and greatest 1,000) and ends early at about 4 MiB of data. A post is
// taken whole or not at all, at most 1,000 records of at most 1 MiB (and 50,000
// ids to erase), and gives
// each record its place; a record that is in the feed already keeps the place
// that it has, so posting again after a lost answer is safe. known, the head
// that the device knows, is optional and lets the server notice that it has gone
// back behind the device, after a bad restore say, before anything is mixed.
//
//	GET  feed?since=N&limit=N *  → {"head":Head,"entries":[Entry,…]}
//	POST feed *                  {"entries":[Put,…],"known"?:Head} → {"head":Head,"seqs":[n,…]}
//	                             record_refused 422, record_exists 409 (same id and version, other bytes), feed_diverged 409, account_full 413
//	GET  feed/stream *           → text/event-stream: "event: head\ndata: {"seq":n}\n\n" at once and after each change,
//	                             a comment line every 15 s; too_many 429; ends when the session or the account does
//
// Linking a terminal (see vault.DeviceKey). public_key is what
// vault.DeviceKey.Offer made, the terminal's name sealed within. The terminal
// shows ORIGIN/link/ID#SECRET, where SECRET is vault.DeviceKey.LinkSecret and
// never comes here. A link lives ten minutes and works once.
//
//	POST links                   {"public_key":base64} → {"id":hex16,"poll_secret":base64,"expires":unix seconds}
//	GET  links/{id} *            → {"public_key":base64,"expires"}; link_unknown 404
//	POST links/{id}/approve *    {"wrap":Wrap of kind device,"label"?} → 204; link_unknown 404, link_used 409, wrap_refused 422, browser_only 403
//	POST links/{id}/poll         {"poll_secret"} → 202 {"status":"pending"}
//	                             or 200 {"status":"approved","account","token","session":Session,"wrap":Wrap}; link_unknown 404
//
// What the service is, for everybody; and the tokens that messages are paid with
// (package token). A batch is counted once, however often it is posted: the answer
// is the same. A day is today, or from noon UTC on tomorrow. What is signed without
// an account is counted by network address, in memory. plan is "free", "member" or
// "guest"; per_day of -1 is any number, per_hour the fair use of those (0: none).
// allowance_used comes with the allowance beside the error, and resets says from
// when on there is more.
//
//	GET  service                 → {"v":1,"relay":{"url","operator"}|null,"tokens":bool,"guests":bool,"product","issuer","billing":bool,"price"}
//	GET  plan *                  → {"account","plan","until":day|null,"source":""|"card"|"granted","card":""|"active"|"ending"|"failed",
//	                               "active_chats":n (0: any number),"allowance":Allowance of today,"billing":bool,"price"}
//	POST tokens *                {"day","blinded":[base64 of 256 bytes,…]} → {"signed":[base64 of 256 bytes,…],"allowance":Allowance}
//	                             tokens_off 404, batch_refused 400, day_unknown 409, allowance_used 429, slow_down 429
//	POST guest/tokens            the same; guests_off 403
//
//	Allowance {"plan","per_day":n,"issued":n,"per_hour":n,"resets":unix seconds}
//
// Paying (docs/plans.md). A card is given at a page of Stripe's, of which an account
// has one at a time: opening another closes the one before. The plan is set by what
// Stripe answers when it is asked, and a webhook only says that it should be. A
// voucher is 20 letters and digits in any case, with or without hyphens, and pays
// without saying who pays. All of them answer billing_off (404) where no cards are
// taken, but the voucher, and billing_away (503) when Stripe doesn't answer; then
// nothing was charged.
//
//	POST plan/checkout *         {} → {"url"} of the page; paid_already 409
//	POST plan/portal *           {} → {"url"} of the page for cards, bills and cancelling; no_card 409
//	POST plan/voucher *          {"code"} → like GET plan; voucher_mistyped 422, voucher_unknown 404, voucher_used 409, paid_by_card 409
//	POST stripe/webhook          an event as Stripe sends and signs it, at most 512 KiB → 204; forged 400
//
// Deleting. One transaction removes every row of the account and overwrites the
// freed pages; streams and sessions end. What the account pays at Stripe is
// cancelled, at once or as soon as Stripe can be reached.
//
//	DELETE account *             → 204; browser_only 403
package account

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/token"
)

// Config says how to run the account server.
type Config struct {
	// Store keeps the rows. The caller closes it, after the server.
	Store *store.DB
	// Origin is where the page is served, such as "https://sotto.example" or
	// "http://localhost:8787". Browsers allow passkeys on https origins and on
	// http://localhost with any port, but not on http://127.0.0.1. Its host is
	// the relying party that passkeys are bound to: changing it locks out all
	// passkeys.
	Origin string
	// Name is what the browser's passkey dialog shows; "Sotto" by default.
	Name string
	// MaxBytes bounds what one account may store; 1 GiB by default.
	MaxBytes int64
	// Logger gets failures of the server itself, and nothing about a request but
	// its route. Discarded by default.
	Logger *slog.Logger
	// ClientAddress returns the address that rate limits count by; the peer's of
	// the connection by default. Behind a proxy, take it from a header that the
	// proxy sets. Addresses are hashed at once and never stored.
	ClientAddress func(*http.Request) string
	// Tokens has the server sign tokens that messages are paid with; nil: a
	// message costs nothing, and nothing is counted.
	Tokens *Tokens
	// Guests is how many tokens a day are signed without an account for one
	// network address, which is forgotten with the day; none by default.
	Guests int
	// Relay is told to clients; nil: there is none, and surfaces say so.
	Relay *Relay
	// Billing takes cards; nil: plans are granted only.
	Billing *Billing
}

// Server serves accounts. Make it with [New] and close it to end the live
// streams.
type Server struct {
	store    *store.DB
	origin   string
	secure   bool
	maxBytes int64
	log      lines.Log
	webauthn *webauthn.WebAuthn
	hub      *hub
	limits   *limits
	address  func(*http.Request) string
	handler  http.Handler
	now      func() time.Time

	tokens     *Tokens
	relay      *Relay
	keys       *dayKeys
	turns      *turns
	guestTurns *turns
	guests     *guests // nil: there are none
	bursts     *bursts
	billing    *billing // nil: no cards
}

const defaultMaxBytes = 1 << 30

// New checks the configuration and returns a server.
func New(c Config) (*Server, error) {
	if c.Store == nil {
		return nil, errors.New("account: no store")
	}
	origin, err := checkOrigin(c.Origin)
	if err != nil {
		return nil, err
	}
	if c.Name == "" {
		c.Name = "Sotto"
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.MaxBytes < 0 {
		return nil, fmt.Errorf("account: MaxBytes of %d", c.MaxBytes)
	}
	if c.ClientAddress == nil {
		c.ClientAddress = peerAddress
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	billing, err := c.Billing.open()
	if err != nil {
		return nil, err
	}
	wa, err := webauthn.New(&webauthn.Config{
		RPID:                  origin.Hostname(),
		RPDisplayName:         c.Name,
		RPOrigins:             []string{c.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification:   protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	s := &Server{
		store:    c.Store,
		origin:   c.Origin,
		secure:   origin.Scheme == "https",
		maxBytes: c.MaxBytes,
		log:      lines.To(c.Logger),
		webauthn: wa,
		hub:      newHub(),
		limits:   newLimits(),
		address:  c.ClientAddress,
		now:      time.Now,

		tokens:     c.Tokens,
		relay:      c.Relay,
		keys:       &dayKeys{store: c.Store, keys: map[token.Day]dayKey{}},
		turns:      newTurns(cores()),
		guestTurns: newTurns(1),
		guests:     newGuests(c.Guests),
		bursts:     newBursts(),
		billing:    billing,
	}
	if s.handler, err = s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler serves all routes below /api/v1/ and answers 404 elsewhere.
func (s *Server) Handler() http.Handler { return s.handler }

// Close ends the live streams, so that the HTTP server can shut down.
func (s *Server) Close() { s.hub.close() }

// checkOrigin refuses an origin at which a passkey could never work, rather than
// have every sign-up fail.
func checkOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != s || strings.ToLower(s) != s {
		return nil, fmt.Errorf("account: origin %q: want something like https://sotto.example", s)
	}
	switch {
	case net.ParseIP(u.Hostname()) != nil:
		return nil, fmt.Errorf("account: origin %q: browsers allow no passkeys on an IP address; use http://localhost:PORT", s)
	case u.Scheme == "https":
	case u.Scheme == "http" && (u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")):
	default:
		return nil, fmt.Errorf("account: origin %q: browsers allow passkeys only on https, or http on localhost", s)
	}
	return u, nil
}

func peerAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
