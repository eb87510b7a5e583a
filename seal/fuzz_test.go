// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/seal/internal/core"
)

// named reports whether err has one of the names of the spec.
func named(err error) bool {
	for _, e := range expectations {
		if e != nil && errors.Is(err, e) {
			return true
		}
	}
	return false
}

// FuzzOpenRequest gives the parser and the cipher what a stranger might send.
func FuzzOpenRequest(f *testing.F) {
	keys, recipients := newKeyring(f, 2)
	msg, _, err := SealRequest(recipients, []byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Add(msg[:len(msg)-1])
	f.Add(append(msg, 0))
	f.Add([]byte{1, 1, 9})
	f.Add([]byte{1, 1, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := OpenRequest(bytes.NewReader(b), keys.lookup)
		if err != nil {
			if o != nil || !named(err) {
				t.Fatalf("%v, %v", o, err)
			}
			return
		}
		h, err := envelope.Parse(b)
		if err != nil || h.MessageLen() != int64(len(b)) {
			t.Fatalf("opened, but the envelope says %v", err)
		}
	})
}

// FuzzRequestBody seals whatever plaintext a client with the key might send.
func FuzzRequestBody(f *testing.F) {
	f.Add(make([]byte, envelope.MinSize))
	f.Add(append([]byte{0, 0, 8, 0}, make([]byte, envelope.MinSize-4)...))
	f.Add(append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, envelope.ChunkSize)...))
	f.Add([]byte{0, 0, 0, 3, 'a', 'b', 'c'})
	body := core.NewCipher(make([]byte, core.KeySize), nil, "fuzz")
	f.Fuzz(func(t *testing.T, plain []byte) {
		size := envelope.PaddedSize(len(plain))
		plain = append(bytes.Clone(plain), make([]byte, size-len(plain))...)
		var sealed []byte
		var nonce [chacha20poly1305.NonceSize]byte
		for i := 0; i < size; i += envelope.ChunkSize {
			end := min(i+envelope.ChunkSize, size)
			core.ChunkNonce(&nonce, uint64(i/envelope.ChunkSize), end == size)
			sealed = body.Seal(sealed, nonce[:], plain[i:end], nil)
		}
		got, err := core.OpenBody(bytes.NewReader(sealed), body, size)
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		if again := sealBody(nil, body, got, envelope.PaddedSize(core.LengthSize+len(got))); !bytes.Equal(again, sealed) {
			t.Fatal("a second encoding of the same plaintext was accepted")
		}
	})
}

// FuzzOpenAnswer reads an answer that a stranger made.
func FuzzOpenAnswer(f *testing.F) {
	ex, o := newExchange(f)
	answer := whole(newAnswer(f, o, ClassStream), 3, "one", "two")
	f.Add(answer, uint64(0))
	f.Add(answer[:AnswerHeaderSize], uint64(1))
	f.Add(append(bytes.Clone(answer), 0), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, b []byte, next uint64) {
		for _, open := range []func(io.Reader) (*AnswerReader, error){
			ex.OpenAnswer,
			func(r io.Reader) (*AnswerReader, error) { return ex.ResumeAnswer(r, answer[:AnswerHeaderSize], next) },
		} {
			r, err := open(bytes.NewReader(b))
			if err == nil {
				if _, err = io.Copy(io.Discard, r); err == nil {
					err = r.Drain()
				}
			}
			if err != nil && !named(err) {
				t.Fatal(err)
			}
		}
	})
}

// FuzzAnswerRecords reads an answer whose records a node sealed, with whatever
// in them.
func FuzzAnswerRecords(f *testing.F) {
	ex, o := newExchange(f)
	f.Add(binary.BigEndian.AppendUint16(nil, core.FlagEnd|core.FlagFinal))
	f.Add(make([]byte, 3000))
	f.Add(append([]byte{0x80, 3, 'a', 'b', 'c'}, make([]byte, 2000)...))
	f.Fuzz(func(t *testing.T, plain []byte) {
		a, err := o.NewAnswer(ClassStream)
		if err != nil {
			t.Fatal(err)
		}
		answer := a.Header()
		size := a.RecordSize() - core.TagSize
		for n := uint64(0); len(plain) > 0; n++ {
			p := make([]byte, size)
			plain = plain[copy(p, plain):]
			answer = append(answer, forge(a, n, binary.BigEndian.Uint16(p), p[2:], 0)...)
		}
		r, err := ex.OpenAnswer(bytes.NewReader(answer))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err == nil {
			err = r.Drain()
		}
		if err != nil && !named(err) {
			t.Fatal(err)
		}
		if n > int64(r.Next())*int64(a.Capacity()) {
			t.Fatalf("%d bytes from %d records", n, r.Next())
		}
	})
}

// FuzzUnmarshalExchange checks that there is one encoding of each exchange.
func FuzzUnmarshalExchange(f *testing.F) {
	ex, _ := newExchange(f)
	stored, err := ex.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored)
	f.Add(stored[:10])
	f.Add([]byte{1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		ex, err := UnmarshalExchange(b)
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		if again, err := ex.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is stored again as %x, %v", b, again, err)
		}
	})
}
