// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sotto-chat/sotto/attest/bundle"
)

// What a machine writes is package bundle's; whoever judges it finds it here.
type (
	KeyConfig = bundle.KeyConfig
	Model     = bundle.Model
	Evidence  = bundle.Evidence
	Bundle    = bundle.Bundle
	Base64URL = bundle.Base64URL
)

// Limits and sizes of it; see package bundle.
const (
	MaxKeyConfig  = bundle.MaxKeyConfig
	MaxBundle     = bundle.MaxBundle
	MaxEvidence   = bundle.MaxEvidence
	MaxModels     = bundle.MaxModels
	MaxCheckpoint = bundle.MaxCheckpoint
	Suite         = bundle.Suite
	PublicKeySize = bundle.PublicKeySize
	KeyIDSize     = bundle.KeyIDSize

	DefaultMaxLifetime = bundle.DefaultMaxLifetime
)

// ParseKeyConfig decodes the canonical bytes of a key config and refuses all
// others (spec/evidence.md, "Key config"). It doesn't look at the clock.
func ParseKeyConfig(b []byte) (KeyConfig, error) {
	var c KeyConfig
	if err := decodeCanonical(b, MaxKeyConfig, &c); err != nil {
		return KeyConfig{}, err
	}
	if err := c.Check(); err != nil {
		return KeyConfig{}, err
	}
	return c, nil
}

// maxCommas is how many commas the canonical bytes of a bundle can have.
const maxCommas = 3 + 2*MaxEvidence - 1

// ParseBundle decodes the canonical bytes of a bundle and refuses all others
// (spec/evidence.md, "Bundle"). It doesn't look into what the bundle holds.
func ParseBundle(doc []byte) (Bundle, error) {
	var b Bundle
	// Two bytes between commas can take a hundred to decode, and base64 has none.
	if bytes.Count(doc, []byte{','}) > maxCommas {
		return Bundle{}, fmt.Errorf("evidence is not a list of 1 to %d", MaxEvidence)
	}
	if err := decodeCanonical(doc, MaxBundle, &b); err != nil {
		return Bundle{}, err
	}
	if err := b.Check(); err != nil {
		return Bundle{}, err
	}
	return b, nil
}

// decodeCanonical decodes doc into v, then encodes v again and compares. One
// comparison so refuses white space, unknown and repeated fields, escapes,
// other spellings of a number, other alphabets of base64, and trailing bytes,
// none of which another implementation must then agree with us about.
func decodeCanonical(doc []byte, limit int, v any) error {
	if len(doc) > limit {
		return fmt.Errorf("it is longer than %d bytes", limit)
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		// The decoder's own words quote the input, which a stranger wrote.
		return errors.New("it is not the expected JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes follow its end")
	}
	if again, _ := json.Marshal(v); !bytes.Equal(again, doc) { // which an error leaves empty
		return errors.New("it is not in canonical form")
	}
	return nil
}

// KeyID is [bundle.KeyID].
func KeyID(config []byte) [KeyIDSize]byte { return bundle.KeyID(config) }

// ReportData is [bundle.ReportData].
func ReportData(config []byte) [64]byte { return bundle.ReportData(config) }

// FreshData is [bundle.FreshData].
func FreshData(nonce [32]byte, config []byte) [64]byte { return bundle.FreshData(nonce, config) }

// Anchor is [bundle.Anchor].
func Anchor(checkpoint []byte) string { return bundle.Anchor(checkpoint) }
