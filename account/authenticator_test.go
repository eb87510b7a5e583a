// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// authenticator is a passkey in software: it does what a browser and its
// authenticator do together. Its fields can be changed to misbehave.
type authenticator struct {
	t       testing.TB
	origin  string // what the browser says where it is
	rpID    string
	flags   byte
	id      []byte
	handle  []byte
	key     *ecdsa.PrivateKey
	counter uint32
	prfKey  []byte
	leak    bool // send the PRF output along, as toJSON() does
}

const (
	flagPresent  = 0x01
	flagVerified = 0x04
	flagAttested = 0x40
)

func newAuthenticator(t testing.TB, origin string) *authenticator {
	a := &authenticator{
		t: t, origin: origin, rpID: "localhost", flags: flagPresent | flagVerified,
		id: make([]byte, 32), prfKey: make([]byte, 32), counter: 1,
	}
	rand.Read(a.id)
	rand.Read(a.prfKey)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	return a
}

// prf is the extension's output for an input: a secret of the page's.
func (a *authenticator) prf(input []byte) []byte {
	h := hmac.New(sha256.New, a.prfKey)
	h.Write(input)
	return h.Sum(nil)
}

type ceremonyOptions struct {
	Challenge string `json:"challenge"`
	User      struct {
		ID string `json:"id"`
	} `json:"user"`
	Extensions struct {
		PRF struct {
			Eval struct {
				First string `json:"first"`
			} `json:"eval"`
		} `json:"prf"`
	} `json:"extensions"`
}

func (a *authenticator) options(raw json.RawMessage) ceremonyOptions {
	a.t.Helper()
	var o ceremonyOptions
	if err := json.Unmarshal(raw, &o); err != nil {
		a.t.Fatal(err)
	}
	return o
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (a *authenticator) clientData(kind, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func (a *authenticator) authData(flags byte) []byte {
	rp := sha256.Sum256([]byte(a.rpID))
	b := append(rp[:], flags)
	return binary.BigEndian.AppendUint32(b, a.counter)
}

func (a *authenticator) results(o ceremonyOptions) map[string]any {
	prf := map[string]any{"enabled": true}
	if a.leak {
		prf["results"] = map[string]any{"first": b64(a.prf(unb64(a.t, o.Extensions.PRF.Eval.First)))}
	}
	return map[string]any{"prf": prf}
}

// create answers navigator.credentials.create().
func (a *authenticator) create(raw json.RawMessage) map[string]any {
	a.t.Helper()
	o := a.options(raw)
	a.handle = unb64(a.t, o.User.ID)
	data := a.authData(a.flags | flagAttested)
	data = append(data, make([]byte, 16)...) // no AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(data, a.id...)
	data = append(data, a.coseKey()...)
	// CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
	object := []byte{0xa3, 0x63, 'f', 'm', 't', 0x64, 'n', 'o', 'n', 'e', 0x67}
	object = append(object, "attStmt"...)
	object = append(object, 0xa0, 0x68)
	object = append(object, "authData"...)
	object = append(object, 0x59, byte(len(data)>>8), byte(len(data)))
	object = append(object, data...)
	return map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "authenticatorAttachment": "platform",
		"clientExtensionResults": a.results(o),
		"response": map[string]any{
			"clientDataJSON":    b64(a.clientData("webauthn.create", o.Challenge)),
			"attestationObject": b64(object),
			"transports":        []string{"internal"},
		},
	}
}

// coseKey is the CBOR map {1: 2, 3: -7, -1: 1, -2: x, -3: y} (RFC 9053, ES256).
func (a *authenticator) coseKey() []byte {
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	b := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32}
	b = append(b, point[1:33]...)
	b = append(b, 0x22, 0x58, 32)
	return append(b, point[33:65]...)
}

// get answers navigator.credentials.get().
func (a *authenticator) get(raw json.RawMessage) map[string]any {
	a.t.Helper()
	o := a.options(raw)
	a.counter++
	data := a.authData(a.flags)
	client := a.clientData("webauthn.get", o.Challenge)
	clientHash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte(nil), data...), clientHash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "authenticatorAttachment": "platform",
		"clientExtensionResults": a.results(o),
		"response": map[string]any{
			"clientDataJSON":    b64(client),
			"authenticatorData": b64(data),
			"signature":         b64(signature),
			"userHandle":        b64(a.handle),
		},
	}
}
