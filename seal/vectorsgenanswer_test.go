// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/sotto-chat/sotto/seal/internal/core"
)

// forge makes records that AppendRecord refuses to make: number n of a, with
// any head, data and padding.
func forge(a *AnswerSealer, n uint64, head uint16, data []byte, padding byte) []byte {
	plain := binary.BigEndian.AppendUint16(nil, head)
	plain = append(plain, data...)
	plain = append(plain, bytes.Repeat([]byte{padding}, a.RecordSize()-core.TagSize-len(plain))...)
	var nonce [12]byte
	binary.BigEndian.PutUint64(nonce[3:11], n)
	return (*cipherOf(a)).Seal(nil, nonce[:], plain, nil)
}

func newAnswer(t testing.TB, o *Opened, class Class) *AnswerSealer {
	t.Helper()
	a, err := o.NewAnswer(class)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// whole returns an answer with one record for each piece of content, the last
// of which ends it, padded to total records.
func whole(a *AnswerSealer, total int, content ...string) []byte {
	b := a.Header()
	for i := range total {
		var data []byte
		if i < len(content) {
			data = []byte(content[i])
		}
		b = a.AppendRecord(b, data, i >= len(content)-1, i == total-1)
	}
	return b
}

// record returns record n of an answer.
func record(answer []byte, n int) []byte {
	size := Class(answer[1]).Record()
	return answer[AnswerHeaderSize+n*size:][:size]
}

func (g *generator) answers() {
	f := answerFile{About: "Sealed answers, opened with stored exchanges. See README.md."}
	var opened []*Opened
	for _, name := range []string{"first", "second"} {
		msg, ex := g.seal([]byte(bhttpHello), 0, 1)
		stored, err := ex.MarshalBinary()
		if err != nil {
			g.t.Fatal(err)
		}
		f.Exchanges = append(f.Exchanges, vectorExchange{name, stored})
		opened = append(opened, g.open(msg))
		// The same request as its other recipient opens it.
		o, err := OpenRequest(bytes.NewReader(msg), func(id KeyID) *PrivateKey {
			if id == g.recipients[0].ID {
				return nil
			}
			return g.known[id]
		})
		if err != nil {
			g.t.Fatal(err)
		}
		opened = append(opened, o)
	}
	o, byOther, toOther := opened[0], opened[1], opened[2]

	ok := func(name, comment string, answer []byte, content string) *answerVector {
		recipient := int(answer[2])
		f.Vectors = append(f.Vectors, answerVector{Name: name, Comment: comment, Expect: "ok", Exchange: "first",
			Answer: answer, Recipient: &recipient, Content: []byte(content)})
		return &f.Vectors[len(f.Vectors)-1]
	}
	fail := func(expect, name, comment string, answer []byte, content string) *answerVector {
		f.Vectors = append(f.Vectors, answerVector{Name: name, Comment: comment, Expect: expect, Exchange: "first",
			Answer: answer, Content: []byte(content)})
		return &f.Vectors[len(f.Vectors)-1]
	}

	a := newAnswer(g.t, o, ClassStream)
	padded := whole(a, TailRecords(3), "one ", "", "two")
	v := ok("stream", "three records of content, the second empty, padded to 128", padded, "one two")
	info := slices.Concat([]byte(core.LabelAnswer), o.ID[:], headerOf(a)[:])
	key, err := hkdf.Key(sha256.New, secretOf(o)[:], headerOf(a)[3:], string(info), core.KeySize)
	if err != nil {
		g.t.Fatal(err)
	}
	v.Key = key
	short := whole(newAnswer(g.t, o, ClassStream), 4, "one ", "two ", "three")
	ok("little padding", "a reader does not ask for the whole tail", short, "one two three")
	ok("no content", "", whole(newAnswer(g.t, o, ClassStream), 1), "")
	ok("other recipient", "", whole(newAnswer(g.t, byOther, ClassStream), 2, "hello"), "hello")
	bulk := newAnswer(g.t, o, ClassBulk)
	full := string(bytes.Repeat([]byte("b"), bulk.Capacity()))
	ok("bulk", "a full record, and one that is both end and final", whole(bulk, 2, full, "c"), full+"c")
	late := newAnswer(g.t, o, ClassStream)
	ending := late.AppendRecord(late.Header(), []byte("hello"), false, false)
	ok("end without data", "the record that ends the content has none", late.AppendRecord(ending, nil, true, true), "hello")

	fail("truncated", "nothing", "", []byte{}, "")
	fail("truncated", "cut in the header", "", short[:AnswerHeaderSize-1], "")
	fail("truncated", "no records", "", short[:AnswerHeaderSize], "")
	fail("truncated", "cut in the first record", "", short[:AnswerHeaderSize+1000], "")
	fail("truncated", "cut before the end of content", "between two records", short[:AnswerHeaderSize+2*1024], "one two ")
	fail("truncated", "cut in a record", "", short[:AnswerHeaderSize+2*1024+1023], "one two ")
	fail("truncated", "final record missing", "the content is whole and was read", short[:AnswerHeaderSize+3*1024], "one two three")
	fail("truncated", "last byte missing", "", short[:len(short)-1], "one two three")

	fail("version", "version 0", "", set(short, 0, 0), "")
	fail("version", "version 2", "", set(short, 0, 2), "")
	fail("format", "class 0", "", set(short, 1, 0), "")
	fail("format", "class 3", "", set(short, 1, 3), "")
	fail("format", "recipient out of range", "2 of 2", set(short, 2, 2), "")
	fail("authentication", "class swapped to bulk", "16 stream records are as long as one bulk record", set(padded, 1, 2), "")
	fail("authentication", "class swapped to stream", "", set(whole(newAnswer(g.t, o, ClassBulk), 1, "hello"), 1, 1), "")
	fail("authentication", "recipient swapped", "another recipient's number on the answer", set(short, 2, 1), "")
	impostor := newAnswer(g.t, byOther, ClassStream)
	headerOf(impostor)[2] = 0
	*cipherOf(impostor) = core.AnswerCipher(secretOf(byOther), byOther.ID, headerOf(impostor))
	fail("authentication", "recipient lies about its number", "it does not have the other's answer secret", whole(impostor, 1, "hello"), "")
	fail("authentication", "flipped bit in the nonce", "", flip(short, 3), "")
	fail("authentication", "flipped bit in the data", "", flip(short, AnswerHeaderSize+1024+2), "one ")
	fail("authentication", "flipped bit in the flags", "", flip(short, AnswerHeaderSize), "")
	fail("authentication", "flipped bit in the padding", "", flip(short, AnswerHeaderSize+1000), "")
	fail("authentication", "flipped bit in the tag", "", flip(short, AnswerHeaderSize+1023), "")
	fail("authentication", "flipped bit in the final record", "", flip(short, -1), "one two three")

	again := whole(newAnswer(g.t, o, ClassStream), 4, "one ", "two ", "three")
	head := short[:AnswerHeaderSize:AnswerHeaderSize]
	fail("authentication", "records reordered", "", slices.Concat(head, record(short, 1), record(short, 0)), "")
	fail("authentication", "record dropped", "", slices.Concat(head, record(short, 0), record(short, 2), record(short, 3)), "one ")
	fail("authentication", "record replayed", "", slices.Concat(head, record(short, 0), record(short, 0)), "one ")
	fail("authentication", "record spliced", "the same record of another answer to the same request", slices.Concat(head, record(short, 0), record(again, 1)), "one ")
	fail("authentication", "header swapped", "that of another answer to the same request", slices.Concat(again[:AnswerHeaderSize], short[AnswerHeaderSize:]), "")
	fail("authentication", "answer to another request", "", whole(newAnswer(g.t, toOther, ClassStream), 1, "hello"), "")
	fail("authentication", "tail record replayed", "", slices.Concat(padded[:AnswerHeaderSize+4*1024], record(padded, 3), record(padded, 5)), "one two")

	fail("format", "byte after the final record", "", append(slices.Clone(short), 0), "one two three")
	fail("format", "record after the final record", "", append(slices.Clone(short), record(short, 3)...), "one two three")
	a = newAnswer(g.t, o, ClassStream)
	head = a.Header()
	const end, final = core.FlagEnd, core.FlagFinal
	forged := func(n uint64, flags uint16, data string) []byte {
		return forge(a, n, flags|uint16(len(data)), []byte(data), 0)
	}
	fail("format", "final before the end of content", "", slices.Concat(head, forged(0, 0, "one"), forged(1, final, "two")), "one")
	fail("format", "content after its end", "", slices.Concat(head, forged(0, end, "one"), forged(1, end|final, "two")), "one")
	fail("format", "end of content taken back", "", slices.Concat(head, forged(0, end, "one"), forged(1, 0, ""), forged(2, end|final, "")), "one")
	fail("format", "length beyond the record", "1,007 of 1,006", slices.Concat(head, forge(a, 0, end|final|1007, nil, 0)), "")
	fail("format", "largest length", "16,383", slices.Concat(head, forge(a, 0, end|final|core.LengthMask, nil, 0)), "")
	fail("padding", "padding not zero", "", slices.Concat(head, forged(0, 0, "one"), forge(a, 1, end|final|3, []byte("two"), 1)), "one")
	last := forged(1, end|final, "")
	fail("padding", "last byte of the padding not zero", "", func() []byte {
		plain := make([]byte, 1024-core.TagSize)
		binary.BigEndian.PutUint16(plain, end|final)
		plain[len(plain)-1] = 1
		return slices.Concat(head, forge(a, 0, binary.BigEndian.Uint16(plain), plain[2:], 0), last)
	}(), "")
	endless := slices.Concat(head, forged(0, end, "one"))
	for n := range uint64(TailRecords(1)) {
		endless = append(endless, forged(n+1, end, "")...)
	}
	fail("format", "too much padding", "129 records, of which one holds content", endless, "one")

	// Resumption: the node sends the same header again, then records from one on.
	resume := func(v *answerVector, header []byte, next uint64, resumed bool) {
		v.Resume = &vectorResume{header, next}
		v.Resumed = &resumed
	}
	head = short[:AnswerHeaderSize:AnswerHeaderSize]
	resume(ok("resumed", "from record 1", slices.Concat(head, short[AnswerHeaderSize+1024:]), "two three"), head, 1, true)
	resume(ok("resumed at the start", "from record 0", short, "one two three"), head, 0, true)
	resume(ok("resumed in the padding", "from record 3", slices.Concat(head, record(short, 3)), ""), head, 3, true)
	resume(ok("not resumed", "another answer in its place, from its start", again, "one two three"), head, 2, false)
	resume(fail("format", "not resumed, recipient out of range", "the header is that of another exchange's answer: reading it fails, comparing it does not", set(again, 2, 7), ""), head, 2, false)
	resume(fail("authentication", "not resumed, another exchange", "the answer to the request that asked for the resumption", whole(newAnswer(g.t, toOther, ClassStream), 1, "gone"), ""), head, 2, false)
	resume(fail("authentication", "resumed at the wrong record", "from record 0 and not 1", short, ""), head, 1, true)
	resume(fail("authentication", "resumed too far", "from record 2 and not 1", slices.Concat(head, short[AnswerHeaderSize+2*1024:]), ""), head, 1, true)
	resume(fail("truncated", "resumed after the final record", "there is nothing more", head, ""), head, 4, true)
	resume(fail("format", "header to resume too short", "", short, ""), head[:AnswerHeaderSize-1], 1, false)

	writeVectors(g.t, "answer.json", f)
}
