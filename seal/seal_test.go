// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/seal/internal/core"
)

func TestRequestRoundTrip(t *testing.T) {
	keys, recipients := newKeyring(t, envelope.MaxRecipients)
	for k := 1; k <= len(recipients); k++ {
		plaintext := []byte(strings.Repeat("x", k*1000))
		msg, ex, err := SealRequest(recipients[:k], plaintext)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range recipients[:k] {
			only := keyring{r.ID: keys[r.ID]}
			o, err := OpenRequest(iotest.HalfReader(bytes.NewReader(msg)), only.lookup)
			if err != nil {
				t.Fatalf("recipient %d of %d: %v", i, k, err)
			}
			if !bytes.Equal(o.Plaintext(), plaintext) {
				t.Errorf("recipient %d of %d: wrong plaintext", i, k)
			}
			if o.Recipient != i || o.KeyID != r.ID || o.ID != ex.ID() {
				t.Errorf("recipient %d of %d: got %d, %s, %x", i, k, o.Recipient, o.KeyID, o.ID)
			}
			if *secretOf(o) != ex.secrets[i] {
				t.Errorf("recipient %d of %d: the halves have different secrets", i, k)
			}
		}
	}
}

func TestRequestSizes(t *testing.T) {
	keys, recipients := newKeyring(t, 1)
	for _, n := range []int{0, 1, envelope.MinSize - core.LengthSize, envelope.MinSize - core.LengthSize + 1,
		envelope.ChunkSize - core.LengthSize - 1, envelope.ChunkSize - core.LengthSize, envelope.ChunkSize - core.LengthSize + 1, envelope.ChunkSize,
		2*envelope.ChunkSize - core.LengthSize, 2*envelope.ChunkSize - core.LengthSize + 1, 1 << 20, MaxRequest} {
		plaintext := make([]byte, n)
		for i := range plaintext {
			plaintext[i] = byte(i % 251)
		}
		msg, _, err := SealRequest(recipients, plaintext)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		o, err := OpenRequest(bytes.NewReader(msg), keys.lookup)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(o.Plaintext(), plaintext) {
			t.Errorf("%d bytes: wrong plaintext", n)
		}
	}
	if _, _, err := SealRequest(recipients, make([]byte, MaxRequest+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes: got %v, want ErrTooLarge", MaxRequest+1, err)
	}
}

// The length of a message tells no more than its padded size.
func TestRequestLengthHidden(t *testing.T) {
	_, recipients := newKeyring(t, 1)
	var want int
	for n := range envelope.MinSize - core.LengthSize + 1 {
		if n%97 != 0 && n < envelope.MinSize-core.LengthSize-2 {
			continue
		}
		msg, _, err := SealRequest(recipients, make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		if want == 0 {
			want = len(msg)
		}
		if len(msg) != want {
			t.Errorf("%d bytes are sealed in %d, others in %d", n, len(msg), want)
		}
	}
}

func TestSealRequestRefuses(t *testing.T) {
	_, recipients := newKeyring(t, envelope.MaxRecipients)
	short := recipients[0]
	short.PublicKey = short.PublicKey[1:]
	for name, rs := range map[string][]Recipient{
		"none":       nil,
		"nine":       append(recipients[:8:8], Recipient{ID: KeyID{9}, PublicKey: recipients[0].PublicKey}),
		"twice":      {recipients[0], recipients[1], recipients[0]},
		"short key":  {short},
		"no key":     {{ID: KeyID{1}}},
		"wrong key":  {{ID: KeyID{1}, PublicKey: bytes.Repeat([]byte{0xff}, PublicKeySize)}},
		"seed as it": {{ID: KeyID{1}, PublicKey: make([]byte, SeedSize)}},
	} {
		if _, _, err := SealRequest(rs, []byte("x")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What was prepared serves one request, which opens like any other, and its
// secret doesn't stay.
func TestPrepared(t *testing.T) {
	keys, recipients := newKeyring(t, 2)
	var prepared []*Prepared
	for _, r := range recipients {
		p, err := Prepare(r)
		if err != nil {
			t.Fatal(err)
		}
		prepared = append(prepared, p)
	}
	if _, _, err := SealPrepared([]*Prepared{prepared[0], prepared[0]}, nil); !errors.Is(err, errRecipients) {
		t.Errorf("the same twice: %v", err)
	}
	msg, _, err := SealPrepared(prepared, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recipients {
		only := keyring{r.ID: keys[r.ID]}
		if o, err := OpenRequest(bytes.NewReader(msg), only.lookup); err != nil || string(o.Plaintext()) != "hello" {
			t.Errorf("opened by %s: %v", r.ID, err)
		}
	}
	for i, p := range prepared {
		if _, _, err := SealPrepared([]*Prepared{p}, []byte("again")); !errors.Is(err, errUsed) {
			t.Errorf("%d used again: %v", i, err)
		}
		if p.secret != [core.KeySize]byte{} {
			t.Errorf("%d: the secret is still there", i)
		}
	}
}

// Not one byte of a message can be changed.
func TestRequestEveryByte(t *testing.T) {
	keys, recipients := newKeyring(t, 2)
	delete(keys, recipients[1].ID)
	msg, _, err := SealRequest(recipients, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range msg {
		if _, err := OpenRequest(bytes.NewReader(flip(msg, i)), keys.lookup); err == nil {
			t.Errorf("byte %d changed: no error", i)
		}
	}
}

// However much of a message arrives, it is called truncated and nothing else.
func TestRequestEveryPrefix(t *testing.T) {
	keys, recipients := newKeyring(t, 1)
	msg, _, err := SealRequest(recipients, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range msg {
		if _, err := OpenRequest(bytes.NewReader(msg[:i]), keys.lookup); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d bytes: got %v", i, err)
		}
	}
}

func TestRequestReaderError(t *testing.T) {
	keys, recipients := newKeyring(t, 1)
	msg, _, err := SealRequest(recipients, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, n := range []int{0, 3, 100, len(msg) - 1, len(msg)} {
		r := io.MultiReader(bytes.NewReader(msg[:n]), iotest.ErrReader(broken))
		if _, err := OpenRequest(r, keys.lookup); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: got %v", n, err)
		}
	}
}

// A length above what was sent costs its sender as much as it costs us.
func TestRequestAllocation(t *testing.T) {
	keys, recipients := newKeyring(t, 1)
	msg, _, err := SealRequest(recipients, make([]byte, 31<<20))
	if err != nil {
		t.Fatal(err)
	}
	cut := msg[:64<<10]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := OpenRequest(bytes.NewReader(cut), keys.lookup); !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes allocated for %d received", got, len(cut))
	}
}

// Two requests have nothing in common, also when they say the same.
func TestRequestsDiffer(t *testing.T) {
	keys, recipients := newKeyring(t, 1)
	seen := make(map[string]bool)
	for range 3 {
		msg, ex, err := SealRequest(recipients, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		h, err := envelope.Parse(msg)
		if err != nil {
			t.Fatal(err)
		}
		o := &Opened{KeyID: recipients[0].ID}
		contentKey, err := core.Unwrap(o, msg[:h.Len], 1, keys[recipients[0].ID])
		if err != nil {
			t.Fatal(err)
		}
		enc := msg[envelope.FixedSize+envelope.KeyIDSize:][:envelope.EncSize]
		body := msg[h.Len:]
		for _, part := range [][]byte{contentKey, ex.id[:], ex.secrets[0][:], enc[:1088], enc[1088:], body} {
			if seen[string(part)] || bytes.Equal(part, make([]byte, len(part))) {
				t.Errorf("%d bytes are not fresh", len(part))
			}
			seen[string(part)] = true
		}
	}
}

func TestErase(t *testing.T) {
	keys, recipients := newKeyring(t, 1)
	msg, _, err := SealRequest(recipients, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	key := keys[recipients[0].ID]
	raw, err := core.Load(key)
	if err != nil {
		t.Fatal(err)
	}
	if seed, err := raw.Bytes(); err != nil || !bytes.Equal(seed, make([]byte, SeedSize)) {
		t.Errorf("the key still holds its seed, or %v", err)
	}
	key.Erase()
	if _, err := OpenRequest(bytes.NewReader(msg), keys.lookup); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v, want ErrExpired", err)
	}
	if !bytes.Equal(key.PublicKey(), recipients[0].PublicKey) {
		t.Error("the public key is gone too")
	}
	key.Erase() // again does nothing
}

func TestNewPrivateKey(t *testing.T) {
	for _, n := range []int{0, SeedSize - 1, SeedSize + 1} {
		if _, err := NewPrivateKey(make([]byte, n)); err == nil {
			t.Errorf("seed of %d bytes: no error", n)
		}
	}
	seed := bytes.Repeat([]byte{7}, SeedSize)
	if _, err := NewPrivateKey(seed); err != nil || !bytes.Equal(seed, bytes.Repeat([]byte{7}, SeedSize)) {
		t.Errorf("seed changed to %x, or %v", seed, err)
	}
	a, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.PublicKey(), b.PublicKey()) || len(a.PublicKey()) != PublicKeySize {
		t.Error("GenerateKey gives no fresh keys")
	}
}

// Secrets show in no output, whatever verb, handler or encoder is used.
func TestSecretsHidden(t *testing.T) {
	ex, o := newExchange(t)
	*textOf(o) = []byte("plaintextplaintext")
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sealer := newAnswer(t, o, ClassStream)
	reader, err := ex.OpenAnswer(bytes.NewReader(sealer.Header()))
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := Prepare(Recipient{PublicKey: key.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{ex, *ex, o, *o, key, prepared, sealer, *sealer, reader, *reader,
		struct{ X any }{ex}, []any{o}, map[string]any{"x": ex}} {
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer {
			if l, ok := v.(slog.LogValuer); !ok || l.LogValue().String() != core.HiddenText {
				t.Errorf("%T: no LogValue that hides it", v)
			}
			if s, ok := v.(fmt.Stringer); !ok || s.String() != core.HiddenText {
				t.Errorf("%T: no String that hides it", v)
			}
			if s, ok := v.(fmt.GoStringer); !ok || s.GoString() != core.HiddenText {
				t.Errorf("%T: no GoString that hides it", v)
			}
		}
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		if !strings.Contains(out.String(), core.HiddenText) {
			t.Errorf("%T: placeholder missing in:\n%s", v, out.String())
		}
		if f, ok := v.(fmt.Formatter); ok && fmt.Sprintf("%v", f) != core.HiddenText {
			t.Errorf("%T is formatted as %v", v, f)
		}
		secrets := [][]byte{secretOf(o)[:], *textOf(o), o.ID[:]}
		for _, s := range secrets {
			for _, form := range []string{string(s), hex.EncodeToString(s[:8]),
				strings.Trim(fmt.Sprint(s[:8]), "[]"), strings.Trim(fmt.Sprintf("%#v", s[:4]), "[]byte{}")} {
				if strings.Contains(strings.ToLower(out.String()), strings.ToLower(form)) {
					t.Errorf("%T shows a secret as %q", v, form)
				}
			}
		}
	}
}

func TestKeyIDString(t *testing.T) {
	id := KeyID{0: 0xab, 15: 0x01}
	if got, want := id.String(), "ab000000000000000000000000000001"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A second look at what a request is sealed to, and at what is opened.
func TestRequestBounds(t *testing.T) {
	_, recipients := newKeyring(t, envelope.MaxRecipients+1)
	var prepared []*Prepared
	for _, r := range recipients {
		p, err := Prepare(r)
		if err != nil {
			t.Fatal(err)
		}
		prepared = append(prepared, p)
	}
	if _, _, err := SealPrepared(prepared, nil); !errors.Is(err, errRecipients) {
		t.Errorf("to %d: %v", len(prepared), err)
	}
	if _, err := NewPrivateKey(make([]byte, SeedSize-1)); err == nil || err.Error() != "seal: private key seed of 31 bytes, want 32" {
		t.Errorf("a short seed: %v", err)
	}
	for at := range 3 {
		b := make([]byte, 2*len(core.Zeros)+2)
		b[at*(len(b)-1)/2] = 1
		if core.AllZero(b) {
			t.Errorf("a 1 at %d is none", at*(len(b)-1)/2)
		}
	}
	if !core.AllZero(make([]byte, 2*len(core.Zeros)+2)) {
		t.Error("zeros are none")
	}
}

// Room for a request grows by doubling, not chunk by chunk.
func TestOpeningGrowsSeldom(t *testing.T) {
	keys, recipients := newKeyring(t, 1)
	msg, _, err := SealRequest(recipients, make([]byte, 64*envelope.ChunkSize))
	if err != nil {
		t.Fatal(err)
	}
	allocations := testing.AllocsPerRun(3, func() {
		if _, err := OpenRequest(bytes.NewReader(msg), keys.lookup); err != nil {
			t.Fatal(err)
		}
	})
	small, _, err := SealRequest(recipients, nil)
	if err != nil {
		t.Fatal(err)
	}
	fixed := testing.AllocsPerRun(3, func() {
		if _, err := OpenRequest(bytes.NewReader(small), keys.lookup); err != nil {
			t.Fatal(err)
		}
	})
	if more := allocations - fixed; more > 12 {
		t.Errorf("%v allocations more for 64 chunks", more)
	}
}
