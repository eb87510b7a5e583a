// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package pe_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/release/measure/pe"
	"github.com/sotto-chat/sotto/release/measure/pe/petest"
)

func options() petest.Options {
	return petest.Options{
		Sections: []petest.Section{
			{Name: ".text", Data: bytes.Repeat([]byte("code"), 300)},
			{Name: ".data", Data: []byte("data")},
			{Name: ".bss"},
			{Name: "exactly8", Data: []byte("name without a zero")},
		},
		Trailer: []byte("follows!"), Signature: bytes.Repeat([]byte{7}, 24),
	}
}

func parse(t testing.TB, b []byte) *pe.Image {
	t.Helper()
	m, err := pe.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func digest(t testing.TB, b []byte) string {
	t.Helper()
	d, err := parse(t, b).Authenticode(sha256.New())
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(d)
}

// second is the digest by the other way to say it: all bytes of the file but the
// checksum, the place of the signature, and the signature.
func second(o petest.Options, b []byte) string {
	out := slices.Concat(b[:petest.Checksum], b[petest.Checksum+4:len(b)-len(o.Signature)])
	if !o.NoDirs {
		out = slices.Delete(out, o.Directory()-4, o.Directory()+4)
	}
	d := sha256.Sum256(out)
	return hex.EncodeToString(d[:])
}

func TestAuthenticode(t *testing.T) {
	for name, change := range map[string]func(o *petest.Options){
		"signed":       func(o *petest.Options) {},
		"not signed":   func(o *petest.Options) { o.Signature = nil },
		"PE32":         func(o *petest.Options) { o.PE32 = true },
		"no directory": func(o *petest.Options) { o.NoDirs, o.Signature = true, nil },
		"no trailer":   func(o *petest.Options) { o.Trailer = nil },
	} {
		o := options()
		change(&o)
		b := petest.Program(o)
		if got, want := digest(t, b), second(o, b); got != want {
			t.Errorf("%s: %s, the second time %s", name, got, want)
		}
	}

	o := options()
	b := petest.Program(o)
	base := digest(t, b)
	// What a signer changes doesn't count, and nothing else is left out.
	end := len(b) - len(o.Signature)
	free := func(i int) bool {
		return i >= petest.Checksum && i < petest.Checksum+4 || i >= end
	}
	for i := range b {
		c := slices.Clone(b)
		c[i] ^= 0x80
		m, err := pe.Parse(bytes.NewReader(c), int64(len(c)))
		if err != nil {
			continue // a header that can't be
		}
		d, err := m.Authenticode(sha256.New())
		if err != nil {
			t.Fatal(err)
		}
		if same := hex.EncodeToString(d) == base; same != free(i) {
			t.Errorf("byte %#x: the digest is the same: %v", i, same)
		}
	}
	// A signature that is taken off leaves the digest as it was.
	o.Signature = nil
	if digest(t, petest.Program(o)) != base {
		t.Error("the digest depends on the signature")
	}
	// Sections count in the order of the file, whatever that of their table.
	c := slices.Clone(b)
	first, next := c[o.Table():][:40], c[o.Table()+40:][:40]
	swapped := slices.Concat(next, first)
	copy(c[o.Table():], swapped)
	if _, err := parse(t, c).Authenticode(sha256.New()); err != nil {
		t.Error(err)
	}
	if got, want := digest(t, c), second(options(), c); got != want {
		t.Errorf("another table: %s, the second time %s", got, want)
	}
}

func TestSections(t *testing.T) {
	m := parse(t, petest.Program(options()))
	for _, s := range options().Sections {
		got, ok, err := m.Section(s.Name)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", s.Name, ok, err)
		}
		var b bytes.Buffer
		if n, err := got.WriteTo(&b); err != nil || n != int64(len(s.Data)) || !bytes.Equal(b.Bytes(), s.Data) {
			t.Errorf("%s: %q, %v", s.Name, b.Bytes(), err)
		}
		r, err := got.Reader()
		if err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(r); err != nil || !bytes.Equal(all, s.Data) {
			t.Errorf("%s: %q, %v", s.Name, all, err)
		}
	}
	if _, ok, err := m.Section(".tex"); ok || err != nil {
		t.Errorf("a section that there isn't: %v, %v", ok, err)
	}
	o := options()
	o.Sections = append(o.Sections, petest.Section{Name: ".text", Data: []byte("other")})
	if _, _, err := parse(t, petest.Program(o)).Section(".text"); err == nil {
		t.Error("one of two sections is taken")
	}
	// More in memory than in the file.
	b := petest.Program(options())
	binary.LittleEndian.PutUint32(b[options().Table()+40+8:], 513)
	s, _, err := parse(t, b).Section(".data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteTo(io.Discard); err == nil {
		t.Error("bytes that aren't in the file are written")
	}
	if _, err := s.Reader(); err == nil {
		t.Error("bytes that aren't in the file are read")
	}
}

// short is a file of which less can be read than it says.
type short struct{ b []byte }

func (s short) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(s.b).ReadAt(p, at)
}

// endless is a file with zeros after its bytes.
type endless struct{ b []byte }

func (e endless) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < int64(len(e.b)) {
		copy(p, e.b[at:])
	}
	return len(p), nil
}

func TestRefused(t *testing.T) {
	le := binary.LittleEndian
	o := options()
	dir, table := o.Directory(), o.Table()
	for name, v := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"too short":          {func(b []byte) []byte { return b[:63] }, "headers are broken"},
		"no MZ":              {func(b []byte) []byte { b[0] = 'N'; return b }, "headers are broken"},
		"no PE":              {func(b []byte) []byte { b[petest.Header] = 'Q'; return b }, "headers are broken"},
		"header beyond":      {func(b []byte) []byte { le.PutUint32(b[0x3c:], 0xfffffff0); return b }, "headers are broken"},
		"header at the end":  {func(b []byte) []byte { le.PutUint32(b[0x3c:], uint32(len(b)-100)); return b }, "headers are broken"},
		"magic":              {func(b []byte) []byte { b[petest.Optional] = 0; return b }, "headers are broken"},
		"no sections":        {func(b []byte) []byte { le.PutUint16(b[petest.Header+6:], 0); return b }, "headers are broken"},
		"many sections":      {func(b []byte) []byte { return petest.Program(petest.Options{Sections: make([]petest.Section, 97)}) }, "headers are broken"},
		"optional too long":  {func(b []byte) []byte { le.PutUint16(b[petest.Header+20:], 0xffff); return b }, "headers are broken"},
		"optional too short": {func(b []byte) []byte { le.PutUint16(b[petest.Header+20:], 112+8*15); return b }, "headers are broken"},
		"many directories":   {func(b []byte) []byte { le.PutUint32(b[petest.Optional+108:], 17); return b }, "headers are broken"},
		"no end of headers":  {func(b []byte) []byte { le.PutUint32(b[petest.Optional+60:], uint32(table+4*40-1)); return b }, "headers are broken"},
		"headers beyond":     {func(b []byte) []byte { le.PutUint32(b[petest.Optional+60:], uint32(len(b)+1)); return b }, "headers are broken"},
		"name after a zero":  {func(b []byte) []byte { b[table] = 0; return b }, "headers are broken"},
		"signature of none":  {func(b []byte) []byte { le.PutUint32(b[dir+4:], 0); return b }, "signature isn't the end"},
		"name goes on":       {func(b []byte) []byte { b[table+7] = 'x'; return b }, "headers are broken"},
		"signature early":    {func(b []byte) []byte { le.PutUint32(b[dir:], 8); le.PutUint32(b[dir+4:], uint32(len(b)-8)); return b }, "signature isn't the end"},
		"signature short":    {func(b []byte) []byte { le.PutUint32(b[dir:], uint32(len(b)-7)); le.PutUint32(b[dir+4:], 7); return b }, "signature isn't the end"},
		"signature beyond":   {func(b []byte) []byte { b[dir+4]++; return b }, "signature isn't the end"},
		"signature nowhere":  {func(b []byte) []byte { le.PutUint32(b[dir:], 0); return b }, "signature isn't the end"},
		"more after it":      {func(b []byte) []byte { return append(b, 0) }, "signature isn't the end"},
		"gap":                {func(b []byte) []byte { le.PutUint32(b[table+40+20:], le.Uint32(b[table+40+20:])+8); return b }, "leaves out or counts twice"},
		"overlap":            {func(b []byte) []byte { le.PutUint32(b[table+40+20:], le.Uint32(b[table+20:])); return b }, "leaves out or counts twice"},
		"into the headers":   {func(b []byte) []byte { le.PutUint32(b[table+20:], 0); return b }, "leaves out or counts twice"},
		"into the signature": {func(b []byte) []byte { le.PutUint32(b[table+3*40+16:], 528); return b }, "longer than its file"},
		"odd length":         {func(b []byte) []byte { c := o; c.Trailer = []byte("follows"); return petest.Program(c) }, "multiple of 8 bytes"},
		"into its last byte": {func(b []byte) []byte { le.PutUint32(b[table+3*40+16:], 521); return b }, "longer than its file"},
	} {
		b := v.change(petest.Program(o))
		if _, err := pe.Parse(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: %v, want %q", name, err, v.want)
		}
	}
	// To the signature's first byte a section may go.
	b := petest.Program(o)
	le.PutUint32(b[table+3*40+16:], 520)
	parse(t, b)

	b = petest.Program(o)
	if _, err := pe.Parse(short{b[:100]}, int64(len(b))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("headers that can't be read: %v", err)
	}
	m, err := pe.Parse(short{b[:2000]}, 64<<10)
	if err == nil {
		_, err = m.Authenticode(sha256.New())
	}
	if err == nil {
		t.Error("a file that ends early has a digest")
	}
	unsigned := options()
	unsigned.Signature = nil
	b = petest.Program(unsigned)
	if _, err := pe.Parse(endless{b}, pe.MaxSize+8); err == nil {
		t.Error("a file without end is read")
	}
	if _, err := pe.Parse(endless{b}, pe.MaxSize); err != nil {
		t.Error(err)
	}
	big := petest.Program(petest.Options{Sections: []petest.Section{{Name: "big", Data: make([]byte, 128<<10)}}})
	m = parse(t, big)
	early, err := pe.Parse(short{big[:100<<10]}, int64(len(big)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := early.Authenticode(sha256.New()); err == nil {
		t.Error("a section that ends early has a digest")
	}
	s, _, err := early.Section("big")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteTo(io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a section that ends early: %v", err)
	}
	broken, err := pe.Parse(&failing{r: bytes.NewReader(big), after: 1}, int64(len(big)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.Authenticode(sha256.New()); !errors.Is(err, errDisk) {
		t.Errorf("a disk that fails: %v", err)
	}
	if _, err := m.Authenticode(sha256.New()); err != nil {
		t.Error(err)
	}
}

var errDisk = errors.New("the disk is broken")

// failing fails after a number of reads.
type failing struct {
	r     io.ReaderAt
	after int
}

func (f *failing) ReadAt(p []byte, at int64) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errDisk
	}
	return f.r.ReadAt(p, at)
}

// TestAllowed: what is just allowed.
func TestAllowed(t *testing.T) {
	// Three section headers end where the headers do, and here the file too, or with
	// the shortest signature.
	empty := petest.Options{Sections: make([]petest.Section, 3)}
	b := petest.Program(empty)
	if len(b) != petest.Align || empty.Table()+3*40 != petest.Align {
		t.Fatalf("%d bytes", len(b))
	}
	base := digest(t, b)
	empty.Signature = make([]byte, 8)
	if digest(t, petest.Program(empty)) != base {
		t.Error("a signature that follows the headers counts")
	}
	parse(t, petest.Program(petest.Options{Sections: make([]petest.Section, 96)}))
	// With four directories there is no place for a signature, so all of it counts.
	o := options()
	o.Signature = nil
	b = petest.Program(o)
	b[petest.Optional+108] = 4
	o.NoDirs = true
	if got, want := digest(t, b), second(o, b); got != want {
		t.Errorf("four directories: %s, the second time %s", got, want)
	}
	// A hash that was used before.
	h := sha256.New()
	h.Write([]byte("used"))
	if d, err := parse(t, b).Authenticode(h); err != nil || hex.EncodeToString(d) != digest(t, b) {
		t.Errorf("with a hash that was used: %x, %v", d, err)
	}
}

func FuzzParse(f *testing.F) {
	o := options()
	f.Add(petest.Program(o))
	o.PE32 = true
	f.Add(petest.Program(o))
	o.NoDirs, o.Signature = true, nil
	f.Add(petest.Program(o))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := pe.Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		d, err := m.Authenticode(sha256.New())
		if err != nil || len(d) != 32 {
			t.Fatal(d, err)
		}
		for _, s := range m.Sections {
			n, err := s.WriteTo(io.Discard)
			if err == nil && n != int64(s.Virtual) {
				t.Fatal("a section has another length than it says")
			}
		}
	})
}
