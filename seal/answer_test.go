// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/seal/internal/core"
)

func TestAnswerRoundTrip(t *testing.T) {
	ex, o := newExchange(t)
	for _, class := range []Class{ClassStream, ClassBulk} {
		a := newAnswer(t, o, class)
		content := strings.Repeat("sotto voce ", 8000)
		answer := a.Header()
		for rest := content; ; {
			n := min(len(rest), a.Capacity())
			answer = a.AppendRecord(answer, []byte(rest[:n]), n == len(rest), false)
			if rest = rest[n:]; rest == "" {
				break
			}
		}
		used := (len(content) + a.Capacity() - 1) / a.Capacity()
		total := TailRecords(used)
		for n := used; n < total; n++ {
			answer = a.AppendRecord(answer, nil, false, n == total-1)
		}
		if got, want := len(answer), AnswerHeaderSize+total*a.RecordSize(); got != want {
			t.Errorf("%s: %d bytes, want %d", class, got, want)
		}
		r, err := ex.OpenAnswer(iotest.OneByteReader(bytes.NewReader(answer)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Class() != class || r.Recipient() != 0 || r.Resumed() || !bytes.Equal(r.Header(), a.Header()) {
			t.Errorf("%s: wrong header", class)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != content {
			t.Errorf("%s: got %d bytes, %v", class, len(got), err)
		}
		if err := r.Drain(); err != nil {
			t.Errorf("%s: Drain: %v", class, err)
		}
		if err := r.Drain(); err != nil {
			t.Errorf("%s: Drain again: %v", class, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%s: Read after Drain: %d, %v", class, n, err)
		}
		if r.Next() != uint64(total) || a.Next() != uint64(total) {
			t.Errorf("%s: Next = %d and %d, want %d", class, r.Next(), a.Next(), total)
		}
	}
	if _, err := o.NewAnswer(0); err == nil {
		t.Error("class 0: no error")
	}
	if _, err := o.NewAnswer(3); err == nil {
		t.Error("class 3: no error")
	}
}

// doled gives only the bytes that it was told to give, and fails the test if
// it is asked for more: a real connection would block there.
type doled struct {
	t    *testing.T
	data []byte
	give int
}

func (d *doled) Read(p []byte) (int, error) {
	d.t.Helper()
	if d.give == 0 {
		d.t.Fatal("the reader waits for more than it needs")
	}
	n := copy(p, d.data[:d.give])
	d.data, d.give = d.data[n:], d.give-n
	return n, nil
}

// The content of a record is there as soon as the record is, and the end of
// the content as soon as the record that ends it.
func TestAnswerStreams(t *testing.T) {
	ex, o := newExchange(t)
	a := newAnswer(t, o, ClassStream)
	d := &doled{t: t, data: whole(a, 5, "one", "", "two", "three"), give: AnswerHeaderSize}
	r, err := ex.OpenAnswer(d)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, step := range []struct {
		records int
		want    string
	}{{1, "one"}, {2, "two"}, {1, "three"}} {
		d.give = step.records * a.RecordSize()
		n, err := r.Read(buf)
		if err != nil || string(buf[:n]) != step.want {
			t.Fatalf("got %q, %v, want %q", buf[:n], err, step.want)
		}
	}
	if n, err := r.Read(buf); n != 0 || err != io.EOF {
		t.Fatalf("at the end of content: %d, %v", n, err)
	}
	if r.Next() != 4 {
		t.Errorf("Next = %d, want 4", r.Next())
	}
}

func TestAnswerShortReads(t *testing.T) {
	ex, o := newExchange(t)
	r, err := ex.OpenAnswer(bytes.NewReader(whole(newAnswer(t, o, ClassStream), 2, "hello ", "world")))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("empty read: %d, %v", n, err)
	}
	var got []byte
	for {
		var b [1]byte
		n, err := r.Read(b[:])
		got = append(got, b[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "hello world" {
		t.Errorf("got %q", got)
	}
}

// A connection can drop after any byte. The reader says so, has given out all
// that came, and goes on where it was.
func TestResumeAnywhere(t *testing.T) {
	ex, o := newExchange(t)
	a := newAnswer(t, o, ClassStream)
	const content = "one two three"
	answer := whole(a, 6, "one ", "", "two ", "three")
	stored, err := ex.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	dropped := errors.New("dropped")
	for cut := AnswerHeaderSize; cut < len(answer); cut += 61 {
		r, err := ex.OpenAnswer(io.MultiReader(bytes.NewReader(answer[:cut]), iotest.ErrReader(dropped)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err == nil {
			if err = r.Drain(); !errors.Is(err, dropped) {
				t.Fatalf("cut at %d: Drain: %v", cut, err)
			}
		}
		if !errors.Is(err, dropped) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if want := uint64((cut - AnswerHeaderSize) / a.RecordSize()); r.Next() != want {
			t.Fatalf("cut at %d: Next = %d, want %d", cut, r.Next(), want)
		}
		again, err := UnmarshalExchange(stored)
		if err != nil {
			t.Fatal(err)
		}
		rest := append(r.Header(), answer[AnswerHeaderSize+int(r.Next())*a.RecordSize():]...)
		r2, err := again.ResumeAnswer(bytes.NewReader(rest), r.Header(), r.Next())
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if !r2.Resumed() {
			t.Fatalf("cut at %d: not resumed", cut)
		}
		tail, err := io.ReadAll(r2)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if err := r2.Drain(); err != nil {
			t.Fatalf("cut at %d: Drain: %v", cut, err)
		}
		if string(got)+string(tail) != content {
			t.Errorf("cut at %d: got %q and %q", cut, got, tail)
		}
	}
}

// An error stays: a reader never goes on after bytes that it refused.
func TestAnswerErrorStays(t *testing.T) {
	ex, o := newExchange(t)
	answer := whole(newAnswer(t, o, ClassStream), 3, "one", "two", "three")
	bad := append(flip(answer[:AnswerHeaderSize+1024], -1), answer[AnswerHeaderSize:]...)
	r, err := ex.OpenAnswer(bytes.NewReader(bad))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrAuthentication) {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if err := r.Drain(); !errors.Is(err, ErrAuthentication) {
		t.Errorf("Drain: %v", err)
	}
}

func TestExchangeErase(t *testing.T) {
	ex, o := newExchange(t)
	secrets := ex.secrets
	ex.Erase()
	if secrets[0] != [core.KeySize]byte{} {
		t.Error("the secret is still there")
	}
	if _, err := ex.OpenAnswer(bytes.NewReader(newAnswer(t, o, ClassStream).Header())); err == nil {
		t.Error("an erased exchange opens an answer")
	}
	if _, err := ex.MarshalBinary(); err == nil {
		t.Error("an erased exchange can be stored")
	}
}

// Two answers to one request share no key.
func TestAnswersDiffer(t *testing.T) {
	_, o := newExchange(t)
	a, b := newAnswer(t, o, ClassStream), newAnswer(t, o, ClassStream)
	if bytes.Equal(a.Header(), b.Header()) {
		t.Error("same header")
	}
	if bytes.Equal(a.AppendRecord(nil, nil, false, false), b.AppendRecord(nil, nil, false, false)) {
		t.Error("same record")
	}
}

func TestAppendRecordMisuse(t *testing.T) {
	_, o := newExchange(t)
	for want, f := range map[string]func(a *AnswerSealer){
		"seal: record after the final one": func(a *AnswerSealer) {
			a.AppendRecord(nil, nil, true, true)
			a.AppendRecord(nil, nil, true, true)
		},
		"seal: data after the end of content": func(a *AnswerSealer) {
			a.AppendRecord(nil, nil, true, false)
			a.AppendRecord(nil, []byte("x"), false, false)
		},
		"seal: too much data for a record": func(a *AnswerSealer) {
			a.AppendRecord(nil, make([]byte, a.Capacity()+1), false, false)
		},
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			f(newAnswer(t, o, ClassStream))
		}()
	}
}

// A final record ends the content, whether it is told so or not.
func TestFinalImpliesEnd(t *testing.T) {
	ex, o := newExchange(t)
	a := newAnswer(t, o, ClassStream)
	b := a.AppendRecord(a.Header(), []byte("all"), false, true)
	r, err := ex.OpenAnswer(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "all" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Padding goes up to the next step, and not by one record beyond it.
func TestPaddingEndsAtItsStep(t *testing.T) {
	for _, content := range []int{1, 128, 129, 513} {
		for over, want := range map[int]error{0: nil, 1: ErrFormat} {
			ex, o := newExchange(t)
			pieces := slices.Repeat([]string{"x"}, content)
			b := whole(newAnswer(t, o, ClassStream), TailRecords(content)+over, pieces...)
			r, err := ex.OpenAnswer(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Drain(); !errors.Is(err, want) {
				t.Errorf("%d records of content and %d too many: %v, want %v", content, over, err, want)
			}
		}
	}
}

// What was found wrong after the end stays wrong.
func TestDrainTwice(t *testing.T) {
	ex, o := newExchange(t)
	b := append(whole(newAnswer(t, o, ClassStream), 16, "x"), 0)
	r, err := ex.OpenAnswer(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Drain(); !errors.Is(err, ErrFormat) {
			t.Errorf("a byte after the end: %v", err)
		}
	}
}

// A read of nothing waits for nothing.
func TestReadNothing(t *testing.T) {
	ex, o := newExchange(t)
	r, err := ex.OpenAnswer(bytes.NewReader(newAnswer(t, o, ClassStream).Header()))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// The last number that a record can have is that of none.
func TestRecordNumbersEnd(t *testing.T) {
	ex, o := newExchange(t)
	a := newAnswer(t, o, ClassStream)
	b := append(a.Header(), forge(a, math.MaxUint64, core.FlagEnd|core.FlagFinal, nil, 0)...)
	r, err := ex.ResumeAnswer(bytes.NewReader(b), a.Header(), math.MaxUint64)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v", err)
	}
	for n, want := range map[uint64]uint64{1 << 27: 1 << 27, math.MaxInt32 / 4: 1 << 29, math.MaxInt32/4 + 1: math.MaxUint64, math.MaxUint64: math.MaxUint64} {
		if got := tailLimit(n); got != want {
			t.Errorf("of %d records there can be %d, want %d", n, got, want)
		}
	}
}

// Another answer in the place of the one to resume may name a place that this
// exchange doesn't have. The answer itself may not.
func TestResumeOtherRecipient(t *testing.T) {
	ex, o := newExchange(t)
	other := newAnswer(t, o, ClassStream).Header()
	other[2] = 7
	r, err := ex.ResumeAnswer(bytes.NewReader(other), newAnswer(t, o, ClassStream).Header(), 1)
	if err != nil || r.Resumed() {
		t.Fatalf("another answer: %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrFormat) {
		t.Errorf("reading another answer: %v", err)
	}
	if _, err := ex.ResumeAnswer(bytes.NewReader(other), other, 1); !errors.Is(err, ErrFormat) {
		t.Errorf("the same header: %v", err)
	}
}

// An exchange of as many recipients as there can be is one.
func TestExchangeBounds(t *testing.T) {
	keys, recipients := newKeyring(t, envelope.MaxRecipients)
	_ = keys
	_, ex, err := SealRequest(recipients, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ex.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := UnmarshalExchange(b); err != nil {
		t.Errorf("of %d recipients: %v", envelope.MaxRecipients, err)
	}
	if _, err := UnmarshalExchange([]byte{9}); !errors.Is(err, ErrVersion) {
		t.Errorf("one byte of another version: %v", err)
	}
}

func TestRecordAllocations(t *testing.T) {
	ex, o := newExchange(t)
	for _, class := range []Class{ClassStream, ClassBulk} {
		a := newAnswer(t, o, class)
		buf := make([]byte, 0, a.RecordSize())
		data := make([]byte, a.Capacity())
		source := bytes.NewReader(a.Header())
		r, err := ex.OpenAnswer(source)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			source.Reset(a.AppendRecord(buf, data, false, false))
			if _, err := io.ReadFull(r, data); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for a record", class, n)
		}
	}
}

func TestTailRecords(t *testing.T) {
	last := 0
	series := 0
	for n := range 100_000 {
		total := TailRecords(n)
		if total < n || total < core.MinTail || total < last {
			t.Fatalf("TailRecords(%d) = %d", n, total)
		}
		if n > core.MinTail && total >= 4*n {
			t.Fatalf("TailRecords(%d) = %d: four times as many", n, total)
		}
		if TailRecords(total) != total {
			t.Fatalf("TailRecords(%d) = %d, which is padded again", n, total)
		}
		if total != last {
			series++
		}
		last = total
	}
	// 128 to 131,072: a length is one of these and no more is seen.
	if series != 6 {
		t.Errorf("%d lengths up to 100,000 records, want 6", series)
	}
}

func TestClassString(t *testing.T) {
	if got := fmt.Sprint(ClassStream, ClassBulk, Class(9)); got != "stream bulk Class(9)" {
		t.Errorf("got %s", got)
	}
}

// Of the machine's half, what only its own package sees.
func secretOf(o *Opened) *[core.KeySize]byte { s, _ := core.Secrets(o); return s }

func textOf(o *Opened) *[]byte { _, t := core.Secrets(o); return t }

func headerOf(a *AnswerSealer) *core.AnswerHeader { h, _ := core.Insides(a); return h }

func cipherOf(a *AnswerSealer) *cipher.AEAD { _, c := core.Insides(a); return c }
