// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/sotto-chat/sotto/seal/internal/core"
)

// keyring is a set of node keys for tests.
type keyring map[KeyID]*PrivateKey

func (k keyring) lookup(id KeyID) *PrivateKey { return k[id] }

func newKeyring(t testing.TB, n int) (keyring, []Recipient) {
	t.Helper()
	keys := make(keyring)
	var recipients []Recipient
	for i := range n {
		key, err := NewPrivateKey(bytes.Repeat([]byte{byte(i + 1)}, SeedSize))
		if err != nil {
			t.Fatal(err)
		}
		id := KeyID(bytes.Repeat([]byte{byte(0xa0 + i)}, len(KeyID{})))
		keys[id] = key
		recipients = append(recipients, Recipient{ID: id, PublicKey: key.PublicKey()})
	}
	return keys, recipients
}

// newExchange returns the two halves of one request.
func newExchange(t testing.TB) (*Exchange, *Opened) {
	t.Helper()
	keys, recipients := newKeyring(t, 1)
	msg, ex, err := SealRequest(recipients, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := OpenRequest(bytes.NewReader(msg), keys.lookup)
	if err != nil {
		t.Fatal(err)
	}
	return ex, o
}

func BenchmarkGenerateKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := GenerateKey(); err != nil {
			b.Fatal(err)
		}
	}
}

// A request of 1,500 bytes is a short prompt with its history.
func BenchmarkSealRequest(b *testing.B) {
	for _, k := range []int{1, 3} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			_, recipients := newKeyring(b, k)
			plaintext := make([]byte, 1500)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := SealRequest(recipients, plaintext); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenRequest(b *testing.B) {
	for _, size := range []int{1500, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			keys, recipients := newKeyring(b, 3)
			msg, _, err := SealRequest(recipients, make([]byte, size))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := OpenRequest(bytes.NewReader(msg), keys.lookup); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkServer is what sealing costs a node for one request: opening it,
// and an answer of 16 stream records.
func BenchmarkServer(b *testing.B) {
	keys, recipients := newKeyring(b, 3)
	msg, _, err := SealRequest(recipients, make([]byte, 1500))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, ClassStream.Record())
	b.ReportAllocs()
	for b.Loop() {
		o, err := OpenRequest(bytes.NewReader(msg), keys.lookup)
		if err != nil {
			b.Fatal(err)
		}
		a, err := o.NewAnswer(ClassStream)
		if err != nil {
			b.Fatal(err)
		}
		for i := range core.MinTail {
			a.AppendRecord(buf, nil, false, i == core.MinTail-1)
		}
	}
}

// The bytes counted are those of the content, not of the wire.
func BenchmarkSealRecord(b *testing.B) {
	for _, class := range []Class{ClassStream, ClassBulk} {
		b.Run(class.String(), func(b *testing.B) {
			_, o := newExchange(b)
			a, err := o.NewAnswer(class)
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, a.Capacity())
			buf := make([]byte, 0, a.RecordSize())
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				a.AppendRecord(buf, data, false, false)
			}
		})
	}
}

func BenchmarkOpenRecord(b *testing.B) {
	for _, class := range []Class{ClassStream, ClassBulk} {
		b.Run(class.String(), func(b *testing.B) {
			ex, o := newExchange(b)
			a, err := o.NewAnswer(class)
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, a.Capacity())
			record := a.AppendRecord(nil, data, false, false)
			r, err := ex.OpenAnswer(bytes.NewReader(a.Header()))
			if err != nil {
				b.Fatal(err)
			}
			source := bytes.NewReader(record)
			r.r = source
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				// The same record again and again.
				source.Reset(record)
				r.next = 0
				if _, err := io.ReadFull(r, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBulk seals and opens on one core, as a download does on two.
func BenchmarkBulk(b *testing.B) {
	ex, o := newExchange(b)
	a, err := o.NewAnswer(ClassBulk)
	if err != nil {
		b.Fatal(err)
	}
	r, err := ex.OpenAnswer(bytes.NewReader(a.Header()))
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, a.Capacity())
	buf := make([]byte, 0, a.RecordSize())
	source := bytes.NewReader(nil)
	r.r = source
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(a.AppendRecord(buf, data, false, false))
		if _, err := io.ReadFull(r, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExchangeMarshal(b *testing.B) {
	ex, _ := newExchange(b)
	b.ReportAllocs()
	for b.Loop() {
		stored, err := ex.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := UnmarshalExchange(stored); err != nil {
			b.Fatal(err)
		}
	}
}
