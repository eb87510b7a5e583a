// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package vectors runs the test vectors of spec/vectors/attest: a JSON document
// in, a verdict out. It has no files and no test framework in it, so that a
// browser's build can run the same vectors and must give the same bytes.
package vectors

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tpm"
)

// Vector is one case. Bundle holds the bytes under test exactly.
type Vector struct {
	Name    string            `json:"name"`
	Comment string            `json:"comment"`
	Policy  attest.Policy     `json:"policy"`
	Roots   map[string][]Root `json:"roots,omitempty"` // for each platform, instead of its makers' own
	Time    int64             `json:"time"`            // Unix seconds
	Bundle  []byte            `json:"bundle"`
	State   string            `json:"state"`
	Failure string            `json:"failure"`
	Verdict json.RawMessage   `json:"verdict"` // whole; its sentences bind only this implementation
}

// Root is a root key of a made-up maker, as [cert.Root] has it: no real chip signs
// whatever a test wants.
type Root struct {
	Name string `json:"name"`
	Key  string `json:"key"` // hex of the SHA-256 of its SubjectPublicKeyInfo
}

// maxVector bounds a vector's length: a bundle in base64 and a verdict.
const maxVector = 2 * attest.MaxBundle

// Platforms returns every platform that this module can judge, with the vector's
// roots where it brings any.
func (v Vector) Platforms() ([]attest.Platform, error) {
	all := platforms.All()
	for name, given := range v.Roots {
		roots := []cert.Root{}
		for _, g := range given {
			r := cert.Root{Name: g.Name}
			b, err := hex.DecodeString(g.Key)
			if err != nil || len(b) != len(r.Key) {
				return nil, fmt.Errorf("vector: the key of root %q is not a SHA-256", g.Name)
			}
			copy(r.Key[:], b)
			roots = append(roots, r)
		}
		i := slices.IndexFunc(all, func(p attest.Platform) bool { return p.Name() == name })
		if i < 0 {
			return nil, fmt.Errorf("vector: roots of an unknown platform %q", name)
		}
		switch all[i].(type) {
		case snp.Platform:
			all[i] = snp.Platform{Roots: roots}
		case tdx.Platform:
			all[i] = tdx.Platform{Roots: roots}
		case tpm.Platform:
			all[i] = tpm.Platform{Roots: roots}
		case nvidia.Platform:
			all[i] = nvidia.Platform{Roots: roots}
		default:
			return nil, fmt.Errorf("vector: %q has no roots", name)
		}
	}
	return all, nil
}

// Parse decodes a vector file and refuses unknown fields.
func Parse(doc []byte) (Vector, error) {
	if len(doc) > maxVector {
		return Vector{}, fmt.Errorf("vector: longer than %d bytes", maxVector)
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	var v Vector
	if err := dec.Decode(&v); err != nil {
		return Vector{}, fmt.Errorf("vector: %w", err)
	}
	return v, nil
}

// Run judges a vector's bundle and returns the verdict as JSON, indented as in
// the vector files. It doesn't compare; see [Check].
func Run(doc []byte) ([]byte, error) {
	v, err := Parse(doc)
	if err != nil {
		return nil, err
	}
	all, err := v.Platforms()
	if err != nil {
		return nil, err
	}
	_, verdict := attest.Verify(v.Bundle, v.Policy, time.Unix(v.Time, 0), all...)
	return json.MarshalIndent(verdict, "  ", "  ")
}

// Check runs a vector and returns an error unless its verdict is the one that
// the vector names, to the byte.
func Check(doc []byte) error {
	v, err := Parse(doc)
	if err != nil {
		return err
	}
	got, err := Run(doc)
	if err != nil {
		return err
	}
	var verdict attest.Verdict
	if err := json.Unmarshal(got, &verdict); err != nil {
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	if verdict.State != v.State || verdict.Failure != v.Failure {
		return fmt.Errorf("%s: verdict is %s %q, want %s %q", v.Name, verdict.State, verdict.Failure, v.State, v.Failure)
	}
	if !bytes.Equal(got, v.Verdict) {
		return fmt.Errorf("%s: verdict reads\n%s\nwant\n%s", v.Name, got, v.Verdict)
	}
	return nil
}
