// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command browserbench measures what a client does before and while a message
// is sent, in this process and in Chromium, with the same code:
//
//	go run ./test/browserbench [-chromium PATH]
//
// It builds itself for js/wasm, serves itself to a headless Chromium on
// loopback, and prints what came back beside its own figures. The packages are
// those of the page's core (attest, seal), compiled by the same compiler; the
// core itself around them, with its Worker and its messages, is not part of it.
//
// Evidence is that of the platform "software", which is one Ed25519 signature, and
// that of the test vectors: made-up hardware, whose RSA keys are shorter than AMD's
// (2,048 bits instead of 4,096) and whose logs are, too.
package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/attest/vectors"
	"github.com/sotto-chat/sotto/seal"
)

// A figure is one line of the table.
type figure struct {
	Name          string
	First         float64 // milliseconds for the very first time: a page verifies seldom
	Median, Least float64 // milliseconds, of many times
	Bytes         int     // that one time goes through, 0 if that isn't the point
}

// hardware are the vectors whose evidence is verified, by name.
var hardware = []struct{ vector, what string }{
	{"snp-genoa", "SEV-SNP"},
	{"tdx-v5-td15", "TDX"},
	{"tpm-p256", "TPM"},
	{"nvidia-hopper", "SEV-SNP and two GPUs"},
	{"several-all", "TDX, TPM and a GPU"},
}

// judged is a vector that is ready to be judged.
type judged struct {
	vectors.Vector
	platforms []attest.Platform
}

func newJudged(doc []byte) (j judged, err error) {
	if j.Vector, err = vectors.Parse(doc); err != nil {
		return j, err
	}
	j.platforms, err = j.Platforms()
	return j, err
}

func (j judged) verify() error {
	if k, v := attest.Verify(j.Bundle, j.Policy, time.Unix(j.Time, 0), j.platforms...); k == nil {
		return fmt.Errorf("%s: not verified: %s", j.Name, v.Failure)
	}
	return nil
}

// measure runs everything, a second for each line. docs are the vectors, in the
// order of hardware.
func measure(docs []string) ([]figure, error) {
	key, err := seal.GenerateKey()
	if err != nil {
		return nil, err
	}
	now := time.Unix(1_790_000_000, 0)
	config, err := attest.KeyConfig{
		V: 1, Node: "00112233445566778899aabbccddeeff", Suite: attest.Suite, PublicKey: key.PublicKey(),
		NotBefore: now.Unix(), NotAfter: now.Add(15 * time.Minute).Unix(), Release: "none", Models: []attest.Model{},
	}.Encode()
	if err != nil {
		return nil, err
	}
	evidence, err := forge.Evidence(attest.ReportData(config))
	if err != nil {
		return nil, err
	}
	bundle, err := attest.Bundle{V: 1, KeyConfig: config, Evidence: evidence}.Encode()
	if err != nil {
		return nil, err
	}
	to := seal.Recipient{ID: attest.KeyID(config), PublicKey: key.PublicKey()}
	prompt := make([]byte, 1500)

	var failed error
	fail := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	prepare := func() *seal.Prepared {
		p, err := seal.Prepare(to)
		if err != nil {
			fail(err)
		}
		return p
	}
	var ready *seal.Prepared
	answers, err := newAnswers(to, key)
	if err != nil {
		return nil, err
	}
	out := []figure{
		timed("verify a node (software evidence)", 0, nil, func() {
			if k, v := attest.Verify(bundle, attest.Policy{AllowSoftware: true}, now, software.Platform{}); k == nil {
				fail(fmt.Errorf("not verified: %s", v.Failure))
			}
		}),
	}
	for i, h := range hardware {
		j, err := newJudged([]byte(docs[i]))
		if err != nil {
			return nil, err
		}
		out = append(out, timed("verify a node ("+h.what+")", 0, nil, func() { fail(j.verify()) }))
	}
	out = append(out,
		timed("prepare to seal to one key", 0, nil, func() { prepare() }),
		timed("seal 1,500 bytes to 3 keys, nothing prepared", 0, nil, func() {
			var to [3]seal.Recipient
			for i := range to {
				to[i] = seal.Recipient{ID: seal.KeyID{byte(i)}, PublicKey: key.PublicKey()}
			}
			if _, _, err := seal.SealRequest(to[:], prompt); err != nil {
				fail(err)
			}
		}),
		timed("seal 1,500 bytes to a prepared key", 0, func() { ready = prepare() }, func() {
			if _, _, err := seal.SealPrepared([]*seal.Prepared{ready}, prompt); err != nil {
				fail(err)
			}
		}),
		timed("open a stream of 16 records", 0, nil, func() { fail(answers.open(answers.stream)) }),
		timed("open a download of 1 MiB", 1<<20, nil, func() { fail(answers.open(answers.bulk)) }),
	)
	return out, failed
}

// timed measures op, before each of which setup is run, if there is one.
func timed(name string, size int, setup, op func()) figure {
	var all []float64
	for begun := time.Now(); len(all) < 10 || len(all) < 2000 && time.Since(begun) < time.Second; {
		if setup != nil {
			setup()
		}
		start := time.Now()
		op()
		all = append(all, ms(time.Since(start)))
	}
	f := figure{Name: name, Bytes: size, First: all[0]}
	slices.Sort(all)
	f.Median, f.Least = all[len(all)/2], all[0]
	return f
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// answers are two answers to one request, sealed.
type answers struct {
	ex           *seal.Exchange
	stream, bulk []byte
}

func newAnswers(to seal.Recipient, key *seal.PrivateKey) (*answers, error) {
	msg, ex, err := seal.SealRequest([]seal.Recipient{to}, []byte("hello"))
	if err != nil {
		return nil, err
	}
	o, err := seal.OpenRequest(bytes.NewReader(msg), func(seal.KeyID) *seal.PrivateKey { return key })
	if err != nil {
		return nil, err
	}
	a := &answers{ex: ex}
	if a.stream, err = sealed(o, seal.ClassStream, make([]byte, 2000)); err != nil {
		return nil, err
	}
	a.bulk, err = sealed(o, seal.ClassBulk, make([]byte, 1<<20))
	return a, err
}

// sealed is an answer that says content; a stream has 16 records.
func sealed(o *seal.Opened, class seal.Class, content []byte) ([]byte, error) {
	s, err := o.NewAnswer(class)
	if err != nil {
		return nil, err
	}
	out := s.Header()
	for {
		n := min(len(content), s.Capacity())
		end := n == len(content)
		final := end && (class == seal.ClassBulk || int(s.Next())+1 == 16)
		out = s.AppendRecord(out, content[:n], end, final)
		if final {
			return out, nil
		}
		content = content[n:]
	}
}

func (a *answers) open(msg []byte) error {
	r, err := a.ex.OpenAnswer(bytes.NewReader(msg))
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
		return err
	}
	return r.Drain()
}
