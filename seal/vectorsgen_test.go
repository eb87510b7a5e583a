// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
	"testing/cryptotest"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/seal/internal/core"
)

// This file makes the vectors. What a correct sender never makes is put
// together here by hand.

// bhttpHello is the request of RFC 9458, appendix A: GET https://example.com/.
const bhttpHello = "\x00\x03GET\x05https\x0bexample.com\x01/\x00\x00\x00"

func makeVectors(t *testing.T) {
	// The same vectors from each run, as long as Go draws randomness in the
	// same order.
	cryptotest.SetGlobalRandom(t, 1)
	g := &generator{t: t}
	g.keys()
	g.requests()
	g.answers()
	g.exchanges()
	g.padding()
}

type generator struct {
	t          *testing.T
	known      keyring
	recipients []Recipient // 0 and 1 are known, 2 is another node's
	seeds      [][]byte
}

func (g *generator) keys() {
	g.known, g.recipients = newKeyring(g.t, 3)
	delete(g.known, g.recipients[2].ID)
	for i := range g.recipients {
		g.seeds = append(g.seeds, bytes.Repeat([]byte{byte(i + 1)}, SeedSize))
	}
}

func (g *generator) seal(plaintext []byte, to ...int) ([]byte, *Exchange) {
	var rs []Recipient
	for _, i := range to {
		rs = append(rs, g.recipients[i])
	}
	msg, ex, err := SealRequest(rs, plaintext)
	if err != nil {
		g.t.Fatal(err)
	}
	return msg, ex
}

func (g *generator) open(msg []byte) *Opened {
	o, err := OpenRequest(bytes.NewReader(msg), g.known.lookup)
	if err != nil {
		g.t.Fatal(err)
	}
	return o
}

// contentKey opens the wrap of recipient i.
func (g *generator) contentKey(msg []byte, i int) []byte {
	h, err := envelope.Parse(msg)
	if err != nil {
		g.t.Fatal(err)
	}
	id := KeyID(h.Recipients[i])
	o := &Opened{KeyID: id, Recipient: i}
	key, err := core.Unwrap(o, msg[:h.Len], len(h.Recipients), g.known[id])
	if err != nil {
		g.t.Fatal(err)
	}
	return key
}

// rebody returns msg with a body of the given chunks, the last of them with
// the given flag.
func (g *generator) rebody(msg []byte, lastFlag bool, plain ...[]byte) []byte {
	h, err := envelope.Parse(msg)
	if err != nil {
		g.t.Fatal(err)
	}
	out := slices.Clone(msg[:h.Len])
	body := core.BodyCipher(g.contentKey(msg, 0), sha256.Sum256(out))
	var nonce [chacha20poly1305.NonceSize]byte
	for i, p := range plain {
		core.ChunkNonce(&nonce, uint64(i), lastFlag && i == len(plain)-1)
		out = body.Seal(out, nonce[:], p, nil)
	}
	return out
}

// reheader returns msg with its header changed by f and wrapped and sealed
// anew, so that only what f did is wrong with it.
func (g *generator) reheader(f func(header []byte)) []byte {
	const size = envelope.MinSize
	header := []byte{envelope.Version, envelope.Suite, 1}
	header = binary.BigEndian.AppendUint32(header, size)
	public, err := hpke.MLKEM768X25519().NewPublicKey(g.recipients[0].PublicKey)
	if err != nil {
		g.t.Fatal(err)
	}
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), core.RequestInfo(g.recipients[0].ID))
	if err != nil {
		g.t.Fatal(err)
	}
	header = append(header, g.recipients[0].ID[:]...)
	header = append(header, enc...)
	f(header)
	contentKey := bytes.Repeat([]byte{0x5e}, core.KeySize)
	wrap, err := sender.Seal(header, contentKey)
	if err != nil {
		g.t.Fatal(err)
	}
	header = append(header, wrap...)
	return sealBody(header, core.BodyCipher(contentKey, sha256.Sum256(header)), []byte(bhttpHello), int(binary.BigEndian.Uint32(header[3:])))
}

// flip returns a copy of b with the lowest bit of the byte at each index
// changed; an index below zero counts from the end.
func flip(b []byte, at ...int) []byte {
	b = slices.Clone(b)
	for _, i := range at {
		if i < 0 {
			i += len(b)
		}
		b[i] ^= 1
	}
	return b
}

func set(b []byte, at int, v ...byte) []byte {
	b = slices.Clone(b)
	copy(b[at:], v)
	return b
}

func (g *generator) requests() {
	f := requestFile{About: "Sealed requests. The node has the keys that are known. See README.md."}
	for i, r := range g.recipients {
		f.Keys = append(f.Keys, vectorKey{ID: r.ID[:], Seed: g.seeds[i], PublicKey: r.PublicKey, Known: g.known[r.ID] != nil})
	}
	ok := func(name, comment string, msg, plaintext []byte) {
		o := g.open(msg)
		f.Vectors = append(f.Vectors, requestVector{Name: name, Comment: comment, Expect: "ok", Message: msg,
			Plaintext: &plaintext, ID: o.ID[:], Recipient: &o.Recipient})
	}
	fail := func(expect, name, comment string, msg []byte) {
		f.Vectors = append(f.Vectors, requestVector{Name: name, Comment: comment, Expect: expect, Message: msg})
	}

	hello := []byte(bhttpHello)
	one, _ := g.seal(hello, 0)
	ok("one recipient", "", one, hello)
	key := g.contentKey(one, 0)
	id := sha256.Sum256(one[:envelope.FixedSize+envelope.RecipientSize+envelope.WrapSize])
	bodyKey, err := hkdf.Key(sha256.New, key, id[:], core.LabelBody, core.KeySize)
	if err != nil {
		g.t.Fatal(err)
	}
	secret := *secretOf(g.open(one))
	f.Vectors[0].Schedule = &schedule{ContentKey: key, BodyKey: bodyKey, AnswerSecret: secret[:]}

	two, _ := g.seal(hello, 1, 0)
	ok("two recipients", "the node has both keys and uses the first", two, hello)
	second, _ := g.seal(hello, 2, 0)
	ok("second recipient", "the node has the second key only", second, hello)
	empty, _ := g.seal(nil, 0)
	ok("empty plaintext", "", empty, []byte{})
	full := bytes.Repeat([]byte("x"), envelope.MinSize-core.LengthSize)
	exact, _ := g.seal(full, 0)
	ok("no padding", "the plaintext and its length fill the smallest size", exact, full)
	more := append(full, 'x')
	next, _ := g.seal(more, 0)
	ok("next size", "one byte more, and the next Padmé size", next, more)
	long := bytes.Repeat([]byte("sotto voce. "), 2500) // 30,000 bytes: 30,720 padded
	chunks, _ := g.seal(long, 0)
	ok("two chunks", "", chunks, long)

	const recipient2 = envelope.FixedSize + envelope.RecipientSize
	const body1 = recipient2 + envelope.WrapSize
	const wraps2 = recipient2 + envelope.RecipientSize

	fail("truncated", "nothing", "", []byte{})
	fail("truncated", "cut in the fixed part", "", one[:envelope.FixedSize-1])
	fail("truncated", "cut in the encapsulated key", "", one[:500])
	fail("truncated", "cut in the wrap", "", one[:body1-1])
	fail("truncated", "no body", "", one[:body1])
	fail("truncated", "cut in the body", "", one[:body1+1000])
	fail("truncated", "last byte missing", "", one[:len(one)-1])
	fail("truncated", "last chunk missing", "", chunks[:body1+envelope.ChunkSize+core.TagSize])

	fail("version", "version 0", "", g.reheader(func(h []byte) { h[0] = 0 }))
	fail("version", "version 2", "", g.reheader(func(h []byte) { h[0] = 2 }))
	fail("version", "suite 0", "", g.reheader(func(h []byte) { h[1] = 0 }))
	fail("version", "suite 2", "", g.reheader(func(h []byte) { h[1] = 2 }))
	fail("format", "no recipients", "count is 0", set(one, 2, 0))
	fail("format", "nine recipients", "count is 9, and the message has as many", func() []byte {
		h := []byte{envelope.Version, envelope.Suite, 9, 0, 0, 8, 0}
		for i := range 9 {
			h = append(h, bytes.Repeat([]byte{byte(i)}, envelope.KeyIDSize)...)
			h = append(h, one[envelope.FixedSize+envelope.KeyIDSize:recipient2]...)
		}
		h = append(h, make([]byte, 9*envelope.WrapSize)...)
		return append(h, one[body1:]...)
	}())
	twice := slices.Clone(two)
	copy(twice[recipient2:wraps2], twice[envelope.FixedSize:recipient2])
	fail("format", "recipient named twice", "", twice)
	fail("format", "size is not a Padmé size", "2,049", set(one, 3, 0, 0, 8, 1))
	fail("format", "size below the least", "1,024", set(one, 3, 0, 0, 4, 0))
	fail("format", "size zero", "", set(one, 3, 0, 0, 0, 0))
	fail("too_large", "size above the limit", "34,603,008: the next Padmé size after 32 MiB", set(one, 3, 2, 0x10, 0, 0))
	fail("too_large", "largest size that can be written", "", set(one, 3, 0xff, 0xff, 0xff, 0xff))

	foreign, _ := g.seal(hello, 2)
	fail("unknown_key", "foreign key", "sealed to a key that the node does not have", foreign)
	fail("unknown_key", "flipped bit in the key id", "", flip(one, envelope.FixedSize))
	wrong := slices.Clone(foreign)
	copy(wrong[envelope.FixedSize:], g.recipients[0].ID[:])
	fail("authentication", "wrong key under a known id", "sealed to another key, with the id exchanged", wrong)
	fail("authentication", "flipped bit in the other key id", "all recipients stand in the AAD of each wrap", flip(second, envelope.FixedSize))
	fail("authentication", "other size", "a valid size, and not the one that was authenticated", set(one, 3, 0, 0, 8, 0x80))
	fail("authentication", "flipped bit in the ML-KEM ciphertext", "", flip(one, envelope.FixedSize+envelope.KeyIDSize))
	fail("authentication", "flipped bit in the X25519 share", "", flip(one, recipient2-2))
	zeroShare := slices.Clone(one)
	clear(zeroShare[recipient2-32 : recipient2])
	fail("authentication", "X25519 share of low order", "all zero: the shared secret would be known", zeroShare)
	fail("authentication", "flipped bit in the wrap", "", flip(one, recipient2))
	fail("authentication", "flipped bit in the other wrap", "the whole header is in the salt of the body key", flip(two, wraps2+envelope.WrapSize))
	fail("authentication", "flipped bit in the body", "", flip(one, body1+10))
	fail("authentication", "flipped bit in the tag", "", flip(one, -1))

	swapped := slices.Clone(two)
	copy(swapped[envelope.FixedSize:], two[recipient2:wraps2])
	copy(swapped[recipient2:], two[envelope.FixedSize:recipient2])
	copy(swapped[wraps2:], two[wraps2+envelope.WrapSize:][:envelope.WrapSize])
	copy(swapped[wraps2+envelope.WrapSize:], two[wraps2:][:envelope.WrapSize])
	fail("authentication", "recipients swapped", "with their wraps", swapped)
	removed := set(two[:envelope.FixedSize:envelope.FixedSize], 2, 1)
	removed = append(removed, two[recipient2:wraps2]...)
	removed = append(removed, two[wraps2+envelope.WrapSize:]...)
	fail("authentication", "recipient removed", "with its wrap, and the count corrected", removed)
	other, _ := g.seal(hello, 0)
	fail("authentication", "header of another request", "to the same key", append(slices.Clone(other[:body1]), one[body1:]...))
	fail("authentication", "wrap of another request", "to the same key", append(append(slices.Clone(one[:recipient2]), other[recipient2:body1]...), one[body1:]...))

	fail("format", "byte after the end", "", append(slices.Clone(one), 0))
	fail("format", "chunk after the end", "", append(slices.Clone(one), one[body1:]...))

	padded := func(n int, content []byte, size int) []byte {
		p := binary.BigEndian.AppendUint32(nil, uint32(n))
		p = append(p, content...)
		return append(p, make([]byte, size-len(p))...)
	}
	plain := padded(len(hello), hello, envelope.MinSize)
	fail("authentication", "only chunk not marked as last", "", g.rebody(one, false, plain))
	fail("padding", "last byte of the padding not zero", "", g.rebody(one, true, flip(plain, -1)))
	fail("padding", "first byte of the padding not zero", "", g.rebody(one, true, flip(plain, core.LengthSize+len(hello))))
	fail("padding", "more padding than the Padmé size asks for", "the next size, zeros", g.rebody(next, true, padded(len(hello), hello, len(next)-body1-core.TagSize)))
	fail("format", "length beyond the plaintext", "2,045 of 2,044", g.rebody(one, true, padded(envelope.MinSize-core.LengthSize+1, nil, envelope.MinSize)))
	fail("format", "largest length", "4,294,967,295", g.rebody(one, true, padded(1<<32-1, nil, envelope.MinSize)))

	// Two chunks of the same size.
	even := bytes.Repeat([]byte("0123456789abcdef"), 2*envelope.ChunkSize/16)[:2*envelope.ChunkSize-core.LengthSize]
	pair, _ := g.seal(even, 0)
	const sealed = envelope.ChunkSize + core.TagSize
	first, last := pair[body1:body1+sealed], pair[body1+sealed:]
	head := pair[:body1:body1]
	fail("authentication", "chunks reordered", "", slices.Concat(head, last, first))
	fail("authentication", "first chunk replayed", "in place of the second", slices.Concat(head, first, first))
	otherPair, _ := g.seal(even, 0)
	fail("authentication", "chunk spliced", "the second chunk of another request to the same key", slices.Concat(head, first, otherPair[body1+sealed:]))
	plain = padded(len(even), even, 2*envelope.ChunkSize)
	fail("authentication", "last chunk not marked as last", "", g.rebody(pair, false, plain[:envelope.ChunkSize], plain[envelope.ChunkSize:]))

	writeVectors(g.t, "request.json", f)
}

func (g *generator) exchanges() {
	_, ex := g.seal([]byte(bhttpHello), 0, 1)
	stored, err := ex.MarshalBinary()
	if err != nil {
		g.t.Fatal(err)
	}
	f := exchangeFile{About: "Stored exchanges. See README.md."}
	f.Vectors = []exchangeVector{
		{Name: "two recipients", Expect: "ok", Stored: stored, ID: ex.id[:], Secrets: []hexBytes{ex.secrets[0][:], ex.secrets[1][:]}},
		{Name: "nothing", Expect: "truncated", Stored: hexBytes{}},
		{Name: "version only", Expect: "truncated", Stored: stored[:1]},
		{Name: "cut in the id", Expect: "truncated", Stored: stored[:20]},
		{Name: "last byte missing", Expect: "truncated", Stored: stored[:len(stored)-1]},
		{Name: "version 0", Expect: "version", Stored: set(stored, 0, 0)},
		{Name: "version 2", Expect: "version", Stored: set(stored, 0, 2)},
		{Name: "no recipients", Expect: "format", Stored: set(stored[:34], 1, 0)},
		{Name: "nine recipients", Expect: "format", Stored: append(set(stored[:34], 1, 9), make([]byte, 9*32)...)},
		{Name: "byte after the end", Expect: "format", Stored: append(slices.Clone(stored), 0)},
		{Name: "count too small", Expect: "format", Stored: set(stored, 1, 1)},
		{Name: "count too large", Expect: "truncated", Stored: set(stored, 1, 3)},
	}
	writeVectors(g.t, "exchange.json", f)
}

func (g *generator) padding() {
	f := paddingFile{About: "Padded sizes of requests, in bytes with the length field, and of stream answers, in records. See README.md."}
	for _, n := range []int{4, 5, 2047, 2048, 2049, 2176, 2177, 4096, 4097, 10000, 16384, 16385, 65537, 100000, 1000000, 1 << 20, 1<<20 + 1, 25000000, 33554431, 33554432} {
		f.Request = append(f.Request, [2]int{n, envelope.PaddedSize(n)})
	}
	for _, n := range []int{1, 2, 127, 128, 129, 511, 512, 513, 2048, 2049, 8192, 8193, 100000} {
		f.Answer = append(f.Answer, [2]int{n, TailRecords(n)})
	}
	writeVectors(g.t, "padding.json", f)
}
