// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
)

// Signer signs notes as a log or a release signer, with type 0x01. It is secret:
// String and LogValue tell only its name. It is a note.Signer of
// golang.org/x/mod/sumdb/note.
type Signer struct{ secret }

// Cosigner cosigns checkpoints as a witness, with type 0x04, cosignature/v1. It is
// secret as a [Signer] is.
type Cosigner struct{ secret }

type secret struct {
	key  Key
	priv *ed25519.PrivateKey // behind a pointer, since fmt prints what lies in a struct
}

// NewSigner returns the signer with this name and key.
func NewSigner(name string, key ed25519.PrivateKey) (Signer, error) {
	s, err := newSecret(name, algEd25519, key)
	return Signer{s}, err
}

// NewCosigner returns the witness with this name and key. The key must be no
// signer's.
func NewCosigner(name string, key ed25519.PrivateKey) (Cosigner, error) {
	s, err := newSecret(name, algCosignature, key)
	return Cosigner{s}, err
}

// GenerateSigner makes a new key.
func GenerateSigner(name string) (Signer, error) {
	return NewSigner(name, generate())
}

// GenerateCosigner makes a new key.
func GenerateCosigner(name string) (Cosigner, error) {
	return NewCosigner(name, generate())
}

// ParseSigner reads a key file: the line that [Signer.Secret] returns, with or
// without its newline.
func ParseSigner(file string) (Signer, error) {
	s, err := parseSecret(file, algEd25519)
	return Signer{s}, err
}

// ParseCosigner reads a key file of a witness.
func ParseCosigner(file string) (Cosigner, error) {
	s, err := parseSecret(file, algCosignature)
	return Cosigner{s}, err
}

func generate() ed25519.PrivateKey {
	_, priv, _ := ed25519.GenerateKey(nil) // crypto/rand doesn't fail
	return priv
}

func newSecret(name string, alg byte, priv ed25519.PrivateKey) (secret, error) {
	if len(priv) != ed25519.PrivateKeySize {
		return secret{}, errors.New("the private key has another length than Ed25519's")
	}
	k, err := newKey(name, alg, priv[ed25519.SeedSize:])
	if err != nil {
		return secret{}, err
	}
	return secret{k, &priv}, nil
}

const secretStart = "PRIVATE+KEY+"

func parseSecret(file string, alg byte) (secret, error) {
	// None of the errors repeats what it read.
	wrong := errors.New("a key file is not one line PRIVATE+KEY+name+hash+key")
	line, ok := strings.CutPrefix(strings.TrimSuffix(file, "\n"), secretStart)
	if !ok {
		return secret{}, wrong
	}
	name, rest, _ := strings.Cut(line, "+")
	id, data, _ := strings.Cut(rest, "+")
	b, _ := decode64(data)
	if len(b) != 1+ed25519.SeedSize {
		return secret{}, wrong
	}
	if b[0] != alg {
		return secret{}, errors.New("a key file is of another kind: logs and releases have Ed25519 (01), witnesses cosignature/v1 (04)")
	}
	s, err := newSecret(name, alg, ed25519.NewKeyFromSeed(b[1:]))
	if err != nil {
		return secret{}, err
	}
	if hex.EncodeToString(s.key.id[:]) != id {
		return secret{}, errors.New("a key file has another hash than its key")
	}
	return s, nil
}

// Secret returns the key file, a line in the form of golang.org/x/mod/sumdb/note:
// PRIVATE+KEY+name+hash+base64. Who has it can sign.
func (s secret) Secret() string {
	return secretStart + s.key.name + "+" + hex.EncodeToString(s.key.id[:]) + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{s.key.alg}, s.priv.Seed()...)) + "\n"
}

// Key returns the public key.
func (s secret) Key() Key { return s.key }

// Name returns the key's name.
func (s secret) Name() string { return s.key.name }

// KeyHash returns the key's id as a number, big-endian.
func (s secret) KeyHash() uint32 { return binary.BigEndian.Uint32(s.key.id[:]) }

// String hides the key.
func (s secret) String() string { return "[private key of " + s.key.name + "]" }

// GoString hides the key.
func (s secret) GoString() string { return s.String() }

// Sign returns the bare signature of a note's text.
func (s Signer) Sign(text []byte) ([]byte, error) { return ed25519.Sign(*s.priv, text), nil }

// Signature returns the signature of a note's text, to be put into [Note.Signatures].
func (s Signer) Signature(text []byte) Signature {
	return Signature{s.key.name, s.key.id, ed25519.Sign(*s.priv, text)}
}

// Note returns the text as a signed note. The text ends in a newline.
func (s Signer) Note(text []byte) ([]byte, error) {
	b := Note{text, []Signature{s.Signature(text)}}.Encode()
	if n, err := ParseNote(b); err != nil {
		return nil, err
	} else if len(n.Text) != len(text) {
		return nil, malformed("the text of a note doesn't end in a newline")
	}
	return b, nil
}

// Cosign returns the cosignature of a checkpoint's text, as of now, in Unix
// seconds: to be put into [Note.Signatures].
func (c Cosigner) Cosign(text []byte, now int64) Signature {
	data := binary.BigEndian.AppendUint64(nil, uint64(now))
	return Signature{c.key.name, c.key.id, append(data, ed25519.Sign(*c.priv, cosigned(text, now))...)}
}
