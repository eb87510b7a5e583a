// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
)

func newServer(t testing.TB, seeds ...Seed) (*Server, []Config) {
	t.Helper()
	s, err := NewServer(seeds...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfigs(s.Configs())
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestParseConfigs(t *testing.T) {
	s, all := newServer(t, Seed{1})
	if len(all) != 2 || Best(all) != &all[0] || Best(all[1:]) != &all[1] || all[0].KEM != KEMMLKEM768 || all[0].ID&^1 != all[1].ID&^1 || all[0].ID == all[1].ID {
		t.Fatalf("%d configurations", len(all))
	}
	if again, _ := newServer(t, Seed{1}); !bytes.Equal(again.Configs(), s.Configs()) {
		t.Error("the same seed gives other keys")
	}
	x := all[1].Bytes()
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(x)) }
	list := func(configs ...[]byte) (b []byte) {
		for _, c := range configs {
			b = append(append(b, byte(len(c)>>8), byte(len(c))), c...)
		}
		return b
	}
	strange := []byte{9, 0x99, 0x99, 1, 2, 3}
	for name, c := range map[string]struct {
		in   []byte
		n    int
		want error
	}{
		"one":                       {list(x), 1, nil},
		"one among strange ones":    {list(strange, x, strange), 1, nil},
		"nothing":                   {nil, 0, ErrUnsupported},
		"only strange ones":         {list(strange), 0, ErrUnsupported},
		"only strange AEADs":        {list(change(func(b []byte) []byte { b[len(b)-1], b[len(b)-5] = 2, 2; return b })), 0, ErrUnsupported},
		"only strange KDFs":         {list(change(func(b []byte) []byte { b[len(b)-3], b[len(b)-7] = 2, 2; return b })), 0, ErrUnsupported},
		"half a length":             {[]byte{0}, 0, ErrMalformed},
		"cut":                       {list(x)[:20], 0, ErrMalformed},
		"no KEM":                    {list([]byte{1, 0}), 0, ErrMalformed},
		"a key that is cut":         {list(x[:30]), 0, ErrMalformed},
		"no suites' length":         {list(x[:36]), 0, ErrMalformed},
		"no suites":                 {list(append(bytes.Clone(x[:35]), 0, 0)), 0, ErrMalformed},
		"half a suite":              {list(append(bytes.Clone(x[:35]), 0, 2, 0, 1)), 0, ErrMalformed},
		"fewer suites than it says": {list(x[:len(x)-4]), 0, ErrMalformed},
		"bytes after the suites":    {list(append(bytes.Clone(x), 0)), 0, ErrMalformed},
		"a key that can't be":       {list(append([]byte{1, 0x64, 0x7a}, bytes.Repeat([]byte{0xff}, 1216)...), x), 0, ErrMalformed},
		"too large":                 {make([]byte, MaxConfigs+1), 0, ErrTooLarge},
	} {
		got, err := ParseConfigs(c.in)
		if !errors.Is(err, c.want) || len(got) != c.n || c.want == nil && err != nil {
			t.Errorf("%s: %d, %v; want %v", name, len(got), err, c.want)
		}
	}
	if a, b := all[0].Digest(), all[1].Digest(); a == b || len(a) != len("sha256:")+64 || s.Digests()[0] != a || s.Digests()[1] != b {
		t.Errorf("digests %s and %s", a, b)
	}
}

func TestNewServerRefuses(t *testing.T) {
	if _, err := NewServer(); err == nil {
		t.Error("no seed is accepted")
	}
	if _, err := NewServer(Seed{1}, Seed{1}); !errors.Is(err, ErrSameID) {
		t.Errorf("the same seed twice: %v", err)
	}
	if _, err := NewServer(make([]Seed, 9)...); err == nil || errors.Is(err, ErrSameID) {
		t.Errorf("nine seeds: %v", err)
	}
}

// TestAnswers: whatever the pieces, the client gets what was sealed, and notices every
// change and every cut.
func TestAnswers(t *testing.T) {
	s, all := newServer(t, Seed{1})
	for i := range all {
		for _, suite := range all[i].Suites {
			c := all[i]
			c.Suites = []Suite{suite}
			request, x, err := c.Seal([]byte("q"), true)
			if err != nil {
				t.Fatal(err)
			}
			_, r, err := s.OpenChunked(bytes.NewReader(request))
			if err != nil {
				t.Fatal(err)
			}
			var out []byte
			parts := [][]byte{[]byte("one"), nil, bytes.Repeat([]byte("x"), MaxChunk), []byte("two"), bytes.Repeat([]byte("y"), 47), bytes.Repeat([]byte("z"), 48)}
			var ends []int
			for _, p := range parts {
				out = r.AppendChunk(out, p, false)
				ends = append(ends, len(out))
			}
			out = r.AppendChunk(out, []byte("end"), true)
			want := string(bytes.Join(parts, nil)) + "end"
			for _, src := range []io.Reader{bytes.NewReader(out), iotest.OneByteReader(bytes.NewReader(out)), iotest.DataErrReader(bytes.NewReader(out))} {
				if got, err := io.ReadAll(x.Reader(src)); string(got) != want || err != nil {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
			for _, cut := range append(ends, 0, 1, 20, len(out)-1, len(out)-17) {
				got, err := io.ReadAll(x.Reader(bytes.NewReader(out[:cut])))
				if err == nil || !strings.HasPrefix(want, string(got)) {
					t.Errorf("cut at %d of %d: %d bytes, %v", cut, len(out), len(got), err)
				}
			}
			for _, at := range []int{0, 20, 40, ends[2] - 1, len(out) - 1, len(out) - 20} {
				b := bytes.Clone(out)
				b[at] ^= 1
				got, err := io.ReadAll(x.Reader(bytes.NewReader(b)))
				if err == nil || !strings.HasPrefix(want, string(got)) {
					t.Errorf("changed at %d: %d bytes, %v", at, len(got), err)
				}
			}
			// Two chunks the other way round, and one left out.
			n := suite.entropy()
			one, three := out[n:ends[0]], out[ends[2]:ends[3]]
			for _, b := range [][]byte{
				bytes.Join([][]byte{out[:n], out[ends[0]:]}, nil),
				bytes.Join([][]byte{out[:n], three, one, out[ends[3]:]}, nil),
				bytes.Join([][]byte{out[:n], one, one}, nil),
				bytes.Join([][]byte{out[:n], {0}, one[1:]}, nil), // the first as the last
			} {
				if got, err := io.ReadAll(x.Reader(bytes.NewReader(b))); !errors.Is(err, ErrAuthentication) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
			if _, err := x.Open(out); err == nil {
				t.Error("an answer in chunks opens as one piece")
			}
		}
	}
}

func TestBadChunks(t *testing.T) {
	_, all := newServer(t, Seed{1})
	_, x, err := all[1].Seal([]byte("q"), true)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 32)
	for name, c := range map[string]struct {
		rest []byte
		want error
	}{
		"a chunk above the limit":              {[]byte{0x80, 0, 0x40, 0x11}, ErrTooLarge},
		"a chunk of a size that nobody has":    {bytes.Repeat([]byte{0xff}, 8), ErrTooLarge},
		"a chunk with nothing in it":           {append([]byte{16}, make([]byte, 16)...), ErrMalformed},
		"a chunk with less than nothing in it": {append([]byte{1}, make([]byte, 16)...), ErrMalformed},
		"a last chunk above the limit":         {make([]byte, 1+MaxChunk+Overhead+1), ErrTooLarge},
		"the largest last chunk, not sealed":   {make([]byte, 1+MaxChunk+Overhead), ErrAuthentication},
		"a last chunk without a tag":           {make([]byte, 1+Overhead-1), ErrTruncated},
		"half a length":                        {[]byte{0x80, 0}, ErrTruncated},
		"nothing":                              {nil, ErrTruncated},
	} {
		if _, err := io.ReadAll(x.Reader(bytes.NewReader(append(bytes.Clone(nonce), c.rest...)))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(x.Reader(io.MultiReader(bytes.NewReader(append(nonce, 0, 1)), iotest.ErrReader(broken)))); !errors.Is(err, broken) {
		t.Errorf("a broken source: %v", err)
	}
}

// TestSecretsHide: nothing secret is printed by mistake.
func TestSecretsHide(t *testing.T) {
	s, all := newServer(t, Seed{0xaa, 0xaa, 0xaa})
	b, x, err := all[1].Seal([]byte("q"), false)
	if err != nil {
		t.Fatal(err)
	}
	_, r, err := s.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{Seed{0xaa, 0xaa, 0xaa}, x, r} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		all := fmt.Sprintf("%v %+v %#v %s", v, v, v, v) + log.String()
		if strings.Count(all, "hidden") != 5 || strings.Contains(strings.ToLower(all), "170") || strings.Contains(all, "aaaa") {
			t.Error(all)
		}
	}
}

// TestNoAllocations: a chunk costs the gateway no memory but what it goes into.
func TestNoAllocations(t *testing.T) {
	s, all := newServer(t, Seed{1})
	b, _, err := all[1].Seal([]byte("q"), true)
	if err != nil {
		t.Fatal(err)
	}
	_, r, err := s.OpenChunked(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	msg, dst := make([]byte, 1100), make([]byte, 0, ChunkSize(1100))
	if n := testing.AllocsPerRun(100, func() { r.AppendChunk(dst, msg, false) }); n > 0 {
		t.Errorf("%v allocations for a chunk", n)
	}
}

func FuzzParseConfigs(f *testing.F) {
	s, _ := newServer(f, Seed{1})
	f.Add(s.Configs())
	f.Add(s.Configs()[1225:])
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ParseConfigs(b)
		if err != nil {
			return
		}
		for i := range all {
			if _, _, err := all[i].Seal([]byte("x"), true); err != nil && !errors.Is(err, ErrUnsupported) && all[i].KEM != KEMX25519 { // a point of low order is found only then
				t.Error(err)
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	s, all := newServer(f, Seed{1})
	for i := range all {
		for _, chunked := range []bool{false, true} {
			b, _, err := all[i].Seal([]byte("message"), chunked)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := s.Open(bytes.Clone(b)); err != nil && !known(err) {
			t.Error(err)
		}
		in, _, err := s.OpenChunked(bytes.NewReader(b))
		if err == nil {
			_, err = io.ReadAll(in)
		}
		if err != nil && !known(err) {
			t.Error(err)
		}
	})
}

func FuzzReader(f *testing.F) {
	s, all := newServer(f, Seed{1})
	request, x, err := all[1].Seal([]byte("message"), true)
	if err != nil {
		f.Fatal(err)
	}
	_, r, err := s.OpenChunked(bytes.NewReader(request))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.AppendChunk(r.AppendChunk(nil, []byte("one"), false), []byte("two"), true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := io.ReadAll(x.Reader(bytes.NewReader(b))); err != nil && !known(err) {
			t.Error(err)
		}
	})
}

func known(err error) bool {
	for _, e := range []error{ErrMalformed, ErrTooLarge, ErrTruncated, ErrKey, ErrAuthentication} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func BenchmarkChunk(b *testing.B) {
	s, all := newServer(b, Seed{1})
	request, _, err := all[0].Seal([]byte("q"), true)
	if err != nil {
		b.Fatal(err)
	}
	_, r, err := s.OpenChunked(bytes.NewReader(request))
	if err != nil {
		b.Fatal(err)
	}
	msg, dst := make([]byte, 1100), make([]byte, 0, ChunkSize(1100))
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		r.AppendChunk(dst, msg, false)
	}
}

func BenchmarkRequest(b *testing.B) {
	s, all := newServer(b, Seed{1})
	msg := make([]byte, 3000)
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := all[0].Seal(msg, true); err != nil {
				b.Fatal(err)
			}
		}
	})
	sealed, _, _ := all[0].Seal(msg, true)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := s.OpenChunked(bytes.NewReader(sealed)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
