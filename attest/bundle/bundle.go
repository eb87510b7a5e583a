// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package bundle is what a machine writes of itself: the description of a key, and
// the evidence for it, in their one encoding each (spec/evidence.md). Package attest
// judges it and names the same types. They are apart so that the program inside a
// machine, which judges nobody, links no judge.
package bundle

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Limits of the two documents, checked before anything is decoded.
const (
	MaxKeyConfig  = 64 << 10 // bytes of a key config
	MaxBundle     = 4 << 20  // bytes of a bundle; certificates and event logs travel in it
	MaxEvidence   = 32       // pieces of evidence in a bundle
	MaxModels     = 256      // models in a key config
	MaxCheckpoint = 4096     // bytes of a log's checkpoint in a bundle
	maxString     = 256      // bytes of any string in them
)

// Suite is the only kind of key there is: HPKE's hybrid of ML-KEM-768 and
// X25519 with HKDF-SHA256, and ChaCha20-Poly1305 (spec/seal.md).
const Suite = "MLKEM768-X25519,HKDF-SHA256,ChaCha20Poly1305"

// DefaultMaxLifetime is the longest validity, in seconds, of a key that clients
// accept if their policy doesn't say otherwise. Short lives are what makes old
// answers unreadable when a machine is taken later.
const DefaultMaxLifetime = 3600

// PublicKeySize is the length in bytes of a public key of [Suite].
const PublicKeySize = 1216

// KeyIDSize is the length in bytes of a key id.
const KeyIDSize = 16

// KeyConfig is a machine's description of one of its keys. Its exact bytes are
// what the hardware signs, so it has one encoding only: [KeyConfig.Encode].
type KeyConfig struct {
	V         int       `json:"v"`          // 1
	Node      string    `json:"node"`       // 32 lower-case hex digits, random at each start of the node
	Suite     string    `json:"suite"`      // see [Suite]
	PublicKey Base64URL `json:"public_key"` // see [PublicKeySize]
	NotBefore int64     `json:"not_before"` // Unix seconds
	NotAfter  int64     `json:"not_after"`  // Unix seconds; the key is dead from here on
	Release   string    `json:"release"`    // "sha256:<hex>" of the release manifest, or "none"
	Models    []Model   `json:"models"`     // what the machine serves, at most [MaxModels]
	Anchor    string    `json:"anchor"`     // "sha256:<hex>" of the newest checkpoint of the public log, or ""; see [Anchor]
}

// Model is one model that a machine says it serves.
type Model struct {
	ID      string `json:"id"`
	Digest  string `json:"digest"`            // "sha256:<hex>" of the weights, or "none" where they weren't hashed
	Context int    `json:"context,omitempty"` // longest context in tokens; 0 when not known
}

// Valid reports whether a key config can name m: a plain id, a digest or "none",
// and a context in range.
func (m Model) Valid() bool {
	return plain(m.ID, maxString) && digest(m.Digest) && m.Context >= 0 && m.Context <= 1<<30
}

// Encode returns the canonical bytes of c, or an error that names the first
// field which no client would accept.
func (c KeyConfig) Encode() ([]byte, error) {
	if c.Models == nil {
		c.Models = []Model{}
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("key config: %w", err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("key config: %w", err)
	}
	if len(b) > MaxKeyConfig {
		return nil, fmt.Errorf("key config: it is longer than %d bytes", MaxKeyConfig)
	}
	return b, nil
}

// Check refuses fields outside their limits. Errors name the field. It doesn't look
// at the clock.
func (c *KeyConfig) Check() error {
	switch {
	case c.V != 1:
		return errors.New("v is not 1")
	case !lowerHex(c.Node, 32):
		return errors.New("node is not 32 hex digits")
	case !plain(c.Suite, maxString):
		return errors.New("suite is not a plain string")
	case c.Suite == Suite && len(c.PublicKey) != PublicKeySize:
		return fmt.Errorf("public_key is not %d bytes long", PublicKeySize)
	case c.NotBefore <= 0 || c.NotAfter <= c.NotBefore || c.NotAfter > 1<<40:
		return errors.New("not_before and not_after are not a span of time")
	case !digest(c.Release):
		return errors.New("release is not a digest")
	case c.Models == nil || len(c.Models) > MaxModels:
		return fmt.Errorf("models is not a list of at most %d", MaxModels)
	case c.Anchor != "" && (c.Anchor == "none" || !digest(c.Anchor)):
		return errors.New("anchor is not a digest")
	}
	for i, m := range c.Models {
		if !m.Valid() {
			return fmt.Errorf("models[%d] is not valid", i)
		}
	}
	return nil
}

// KeyID returns the id of the key that the exact bytes of a key config
// describe: the first 16 bytes of SHA-256("sotto/1 key id\x00" ‖ config).
func KeyID(config []byte) [KeyIDSize]byte {
	sum := sha256.Sum256(slices.Concat([]byte("sotto/1 key id\x00"), config))
	return [KeyIDSize]byte(sum[:])
}

// ReportData returns what the hardware signs for the exact bytes of a key
// config: SHA-512("sotto/1 key config\x00" ‖ config).
func ReportData(config []byte) [64]byte {
	return sha512.Sum512(slices.Concat([]byte("sotto/1 key config\x00"), config))
}

// FreshData returns what the hardware signs for somebody who asks with a nonce of
// their own, about a key that is in use already (spec/evidence.md, "Fresh
// evidence"): SHA-512("sotto/1 fresh\x00" ‖ nonce ‖ config). It differs from
// [ReportData] in its label, so that neither can be taken for the other.
func FreshData(nonce [32]byte, config []byte) [64]byte {
	return sha512.Sum512(slices.Concat([]byte("sotto/1 fresh\x00"), nonce[:], config))
}

// Anchor returns how a key config names the exact bytes of a checkpoint:
// "sha256:<hex>", or "" where there is none.
func Anchor(checkpoint []byte) string {
	if len(checkpoint) == 0 {
		return ""
	}
	sum := sha256.Sum256(checkpoint)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Nonce returns what stands for the report data in hardware that has only 32
// bytes for it: SHA-256("sotto/1 <platform> nonce\x00" ‖ report data).
func Nonce(platform string, reportData [64]byte) [32]byte {
	return sha256.Sum256(slices.Concat([]byte("sotto/1 "), []byte(platform), []byte(" nonce\x00"), reportData[:]))
}

// Evidence is one platform's statement about a key config.
type Evidence struct {
	Platform string `json:"platform"` // its name: 1 to 16 of a-z, 0-9
	Data     []byte `json:"data"`     // in the platform's own format, collateral included
}

// Bundle is what a client gets of one key: the exact key config and all that
// speaks for it.
type Bundle struct {
	V          int        `json:"v"` // 1
	KeyConfig  []byte     `json:"key_config"`
	Evidence   []Evidence `json:"evidence"`
	Checkpoint []byte     `json:"checkpoint,omitempty"` // what the key config's anchor names, at most [MaxCheckpoint]
}

// Encode returns the canonical bytes of b.
func (b Bundle) Encode() ([]byte, error) {
	if err := b.Check(); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	out, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if len(out) > MaxBundle {
		return nil, fmt.Errorf("bundle: it is longer than %d bytes", MaxBundle)
	}
	return out, nil
}

// Check refuses fields outside their limits. Errors name the field. It doesn't look
// into what the bundle holds.
func (b *Bundle) Check() error {
	switch {
	case b.V != 1:
		return errors.New("v is not 1")
	case len(b.KeyConfig) == 0 || len(b.KeyConfig) > MaxKeyConfig:
		return fmt.Errorf("key_config is not 1 to %d bytes long", MaxKeyConfig)
	case len(b.Evidence) == 0 || len(b.Evidence) > MaxEvidence:
		return fmt.Errorf("evidence is not a list of 1 to %d", MaxEvidence)
	case len(b.Checkpoint) > MaxCheckpoint:
		return fmt.Errorf("checkpoint is longer than %d bytes", MaxCheckpoint)
	}
	for i, e := range b.Evidence {
		if !platformName(e.Platform) || len(e.Data) == 0 {
			return fmt.Errorf("evidence[%d] is not valid", i)
		}
	}
	return nil
}

func platformName(s string) bool {
	if s == "" || len(s) > 16 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
