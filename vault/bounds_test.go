// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// Each form at its bounds: what is just within passes, and what is just beyond
// is refused by name.

func TestMessageBounds(t *testing.T) {
	good := Message{ID: NewID(), Chat: NewID(), Role: "user"}
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, tt := range map[string]struct {
		change func(m *Message)
		good   bool
	}{
		"as it is":          {func(m *Message) {}, true},
		"no id":             {func(m *Message) { m.ID = "" }, false},
		"upper case":        {func(m *Message) { m.Chat = strings.Repeat("A", 32) }, false},
		"parent":            {func(m *Message) { m.Parent = NewID() }, true},
		"parent of nothing": {func(m *Message) { m.Parent = "x" }, false},
		"no role":           {func(m *Message) { m.Role = "" }, false},
		"role":              {func(m *Message) { m.Role = long(32) }, true},
		"long role":         {func(m *Message) { m.Role = long(33) }, false},
		"model":             {func(m *Message) { m.Model = long(maxShortField) }, true},
		"long model":        {func(m *Message) { m.Model = long(maxShortField + 1) }, false},
		"status":            {func(m *Message) { m.Status = long(32) }, true},
		"long status":       {func(m *Message) { m.Status = long(33) }, false},
		"error":             {func(m *Message) { m.Error = long(maxShortField) }, true},
		"long error":        {func(m *Message) { m.Error = long(maxShortField + 1) }, false},
	} {
		m := good
		tt.change(&m)
		if err := m.check(); (err == nil) != tt.good || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	id := NewRecordID()
	for body, want := range map[string]error{
		`{"chat":"` + good.Chat + `","role":"user"}`:               nil,
		`{"chat":"` + good.Chat + `"}`:                             ErrFormat,
		`{"chat":7}`:                                               ErrFormat,
		`{"chat":"` + good.Chat + `","role":"user","created":"x"}`: ErrFormat,
		`{`: ErrFormat,
	} {
		m, err := decodeMessage(id, []byte(body))
		if !errors.Is(err, want) || err == nil && m.ID != id.String() {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestRegisterBounds(t *testing.T) {
	value := json.RawMessage("1")
	for name, tt := range map[string]struct {
		g    registerBody
		good bool
	}{
		"of the account":  {registerBody{"", "a", value}, true},
		"of a chat":       {registerBody{NewID(), "a", value}, true},
		"of no chat":      {registerBody{"x", "a", value}, false},
		"without a name":  {registerBody{"", "", value}, false},
		"name":            {registerBody{"", strings.Repeat("a", maxRegisterName), value}, true},
		"long name":       {registerBody{"", strings.Repeat("a", maxRegisterName+1), value}, false},
		"zero in a name":  {registerBody{"", "a\x00b", value}, false},
		"without a value": {registerBody{"", "a", nil}, false},
	} {
		if err := tt.g.check(); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	for body, want := range map[string]error{`{"chat":"","name":"a","value":1}`: nil, `{"name":"a"}`: ErrFormat, `{"chat":7,"name":"a","value":1}`: ErrFormat, `{`: ErrFormat} {
		if _, err := decodeRegister([]byte(body)); !errors.Is(err, want) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for n, want := range map[int]error{0: ErrFormat, 1: nil, MaxErase: nil, MaxErase + 1: ErrFormat} {
		body := must(json.Marshal(tombstoneBody{make([]RecordID, n)}))
		if ids, err := decodeTombstone(body); !errors.Is(err, want) || err == nil && len(ids) != n {
			t.Errorf("tombstone of %d: %v", n, err)
		}
	}
	if _, err := decodeTombstone([]byte(`{"erase":["x"]}`)); !errors.Is(err, ErrFormat) {
		t.Errorf("tombstone of no id: %v", err)
	}
}

func TestIDs(t *testing.T) {
	for i, c := range "0123456789abcdefABCDEFgG:/@`" {
		var id RecordID
		err := id.UnmarshalText([]byte(strings.Repeat("0", 31) + string(c)))
		if (err == nil) != (i < 16) || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", c, err)
		}
	}
	for name, read := range map[string]func(b []byte) error{
		"account": func(b []byte) error { return new(AccountID).UnmarshalText(b) },
		"record":  func(b []byte) error { return new(RecordID).UnmarshalText(b) },
		"device":  func(b []byte) error { return new(DeviceID).UnmarshalText(b) },
		"hash":    func(b []byte) error { return new(Hash).UnmarshalText(b) },
		"version": func(b []byte) error { return new(Version).UnmarshalText(b) },
		"text":    func(b []byte) error { _, err := ParseRecordID(string(b)); return err },
	} {
		size := map[string]int{"device": 16, "hash": 64}[name]
		if size == 0 {
			size = 32
		}
		for n, want := range map[int]error{0: ErrFormat, size - 2: ErrFormat, size - 1: ErrFormat, size: nil, size + 1: ErrFormat, size + 2: ErrFormat} {
			if err := read(bytes.Repeat([]byte{'0'}, n)); !errors.Is(err, want) {
				t.Errorf("%s of %d digits: %v", name, n, err)
			}
		}
	}
	if NewDeviceID() == NewDeviceID() || NewRecordID() == NewRecordID() || NewAccountID() == NewAccountID() {
		t.Error("an id comes twice")
	}
}

func TestCollections(t *testing.T) {
	for c := range Collection(8) {
		text, err := c.MarshalText()
		if valid := c >= 1 && c <= 4; valid != c.Valid() || valid != (err == nil) {
			t.Errorf("%d: %v, %v", c, c.Valid(), err)
		}
		var back Collection
		if err == nil && (back.UnmarshalText(text) != nil || back != c || c.String() != string(text)) {
			t.Errorf("%d is written as %s and read as %d", c, text, back)
		}
		if err != nil && c.String() != fmt.Sprintf("collection %d", byte(c)) {
			t.Errorf("%d is called %s", c, c)
		}
	}
	if err := new(Collection).UnmarshalText([]byte("mail")); !errors.Is(err, ErrFormat) {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestVersionsCompare(t *testing.T) {
	sorted := []Version{
		{}, {0, DeviceID{7: 1}}, {0, DeviceID{0: 1}}, {0, DeviceID{0: 1, 1: 1}}, {1, DeviceID{}}, {2, DeviceID{}}, {2, DeviceID{0: 255}},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := a.Compare(b), min(1, max(-1, i-j)); got != want {
				t.Errorf("%v and %v: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestPutBounds(t *testing.T) {
	root, account := NewRootKey(), NewAccountID()
	r := NewReplica(root, account, NewDeviceID())
	message := must(r.AddMessage(Message{Chat: NewID(), Role: "user", Text: "x"}))
	register := must(r.SetTitle(NewID(), "x", false))
	tomb := must(r.DeleteMessages(message.ID.String()))[0]
	for name, tt := range map[string]struct {
		p      Put
		change func(p *Put)
		want   error
	}{
		"message":                 {message, func(p *Put) {}, nil},
		"register":                {register, func(p *Put) {}, nil},
		"tombstone":               {tomb, func(p *Put) {}, nil},
		"no collection":           {message, func(p *Put) { p.Collection = 0 }, ErrFormat},
		"message with a version":  {message, func(p *Put) { p.Version.Clock = 1 }, ErrFormat},
		"register without one":    {register, func(p *Put) { p.Version = Version{} }, ErrFormat},
		"message that erases":     {message, func(p *Put) { p.Erase = []RecordID{{}} }, ErrFormat},
		"tombstone of many":       {tomb, func(p *Put) { p.Erase = make([]RecordID, MaxErase) }, nil},
		"tombstone of too many":   {tomb, func(p *Put) { p.Erase = make([]RecordID, MaxErase+1) }, ErrFormat},
		"another's":               {message, func(p *Put) { p.Data = bytes.Clone(p.Data); p.Data[1] ^= 1 }, ErrForeign},
		"in the place of another": {message, func(p *Put) { p.ID = NewRecordID() }, ErrSwapped},
		"larger than any record": {message, func(p *Put) {
			p.Data = append(bytes.Clone(p.Data[:recordHeader]), make([]byte, recordOverhead-recordHeader+paddedSize(maxPadded+1))...)
		}, ErrFormat},
	} {
		tt.change(&tt.p)
		if err := tt.p.Check(account); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if n := recordOverhead + paddedSize(maxPadded+1); n <= MaxRecord {
		t.Errorf("a larger record has %d bytes and would fit", n)
	}
}

func TestLargestRecord(t *testing.T) {
	for n, want := range map[int]error{maxBody: nil, maxBody + 1: ErrTooLarge} {
		data, err := sealRecord(make([]byte, keySize), AccountID{}, place{collection: Messages}, Head{}, make([]byte, n))
		if !errors.Is(err, want) || len(data) > MaxRecord {
			t.Errorf("%d bytes: %v, a record of %d", n, err, len(data))
		}
	}
}

func TestPageBounds(t *testing.T) {
	digest := Digest(nil)
	e := Entry{Seq: 1, Collection: Messages, Size: MaxRecord, Digest: &digest}
	for name, tt := range map[string]struct {
		change func(e *Entry)
		want   error
	}{
		"erased":            {func(e *Entry) {}, nil},
		"erased and empty":  {func(e *Entry) { e.Size = 0 }, nil},
		"of no collection":  {func(e *Entry) { e.Collection = 9 }, ErrFormat},
		"of a size below 0": {func(e *Entry) { e.Size = -1 }, ErrFormat},
		"too large":         {func(e *Entry) { e.Size = MaxRecord + 1 }, ErrFormat},
		"of another size":   {func(e *Entry) { e.Data, e.Digest = []byte("x"), nil }, ErrFormat},
		"with both":         {func(e *Entry) { e.Data, e.Size = []byte("x"), 1 }, ErrFormat},
		"with neither":      {func(e *Entry) { e.Digest = nil }, ErrFormat},
	} {
		changed := e
		tt.change(&changed)
		if err := (Page{Entries: []Entry{changed}}).check(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if _, err := ParsePage([]byte(`{"head":{"seq":0,"hash":"` + strings.Repeat("00", 32) + `"},"entries":[{"size":-1}]}`)); !errors.Is(err, ErrFormat) {
		t.Errorf("what is parsed isn't checked: %v", err)
	}
	// The data counts where there is some, whatever digest stands beside it.
	if got := (Entry{Data: []byte("x"), Digest: &digest}).digest(); got != Digest([]byte("x")) {
		t.Error("a stated digest counts for data that is there")
	}
	if got := (Entry{}).digest(); got != digest {
		t.Error("nothing has another digest than nothing")
	}
}

// A page may be long, and not longer. What isn't JSON is found out at once.
func TestLongestPage(t *testing.T) {
	long := make([]byte, maxPageJSON+1)
	for n, want := range map[int]error{maxPageJSON: ErrFormat, maxPageJSON + 1: ErrTooLarge} {
		if _, err := ParsePage(long[:n]); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
	}
}

// sealedLocal seals a whole plaintext, padding and all, as sealLocal does.
func sealedLocal(key, plain []byte) []byte {
	out := make([]byte, 33)
	out[0] = 1
	rand.Read(out[1:])
	return aead(recordKey(key, out[1:])).Seal(out, make([]byte, chacha20poly1305.NonceSize), plain, out[:1])
}

func TestLocalBounds(t *testing.T) {
	root, account := NewRootKey(), NewAccountID()
	sealed := must(SealLocal(root, account, "x", nil))
	if got, err := OpenLocal(root, account, "x", sealed); err != nil || len(got) != 0 {
		t.Errorf("nothing: %q, %v", got, err)
	}
	if again := must(SealLocal(root, account, "x", nil)); bytes.Equal(again[1:33], sealed[1:33]) {
		t.Error("two seals have one salt")
	}
	other := bytes.Clone(sealed)
	other[0] = 2
	key := root.derive(account, "local x")
	plain := func(n uint32, last byte) []byte {
		b := make([]byte, minPadded)
		binary.BigEndian.PutUint32(b, n)
		b[minPadded-1] = last
		return b
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"as it is":           {sealed, nil},
		"empty":              {nil, ErrFormat},
		"short":              {sealed[:len(sealed)-1], ErrFormat},
		"of another version": {other, ErrFormat},
		"all of it":          {sealedLocal(key, plain(minPadded-4, 1)), nil},
		"more than all":      {sealedLocal(key, plain(minPadded-3, 0)), ErrFormat},
		"padding":            {sealedLocal(key, plain(0, 1)), ErrFormat},
	} {
		if _, err := OpenLocal(root, account, "x", tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	label := SealLabel(root, account, strings.Repeat("x", maxLabel))
	if s, err := OpenLabel(root, account, label); err != nil || len(s) != maxLabel {
		t.Errorf("label: %q, %v", s, err)
	}
	version, changed := bytes.Clone(label), bytes.Clone(label)
	version[0], changed[50] = 2, changed[50]^1
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"none":               {nil, ErrFormat},
		"longer":             {sealedLocal(root.derive(account, "labels"), make([]byte, 4+maxLabel+1)), ErrFormat},
		"of another version": {version, ErrFormat},
		"changed":            {changed, ErrTampered},
	} {
		if _, err := OpenLabel(root, account, tt.b); !errors.Is(err, tt.want) {
			t.Errorf("label %s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestLargestLocal(t *testing.T) {
	root, account := NewRootKey(), NewAccountID()
	huge := make([]byte, 2*maxLocal+1)
	huge[0] = 1
	if _, err := OpenLocal(root, account, "x", huge); !errors.Is(err, ErrFormat) {
		t.Errorf("%d bytes opened: %v", len(huge), err)
	}
	if _, err := SealLocal(root, account, "x", huge[:maxLocal+1]); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes sealed: %v", maxLocal+1, err)
	}
}

func TestDeviceKeyBounds(t *testing.T) {
	key := must(NewDeviceKey())
	b := must(key.Bytes())
	back, err := ParseDeviceKey(b)
	if err != nil || back.LinkSecret() != key.LinkSecret() || back.Code() != key.Code() {
		t.Errorf("%v", err)
	}
	version := bytes.Clone(b)
	version[0] = 2
	for name, b := range map[string][]byte{"none": nil, "five bytes": b[:5], "a byte less": b[:len(b)-1], "a byte more": append(bytes.Clone(b), 0), "version": version} {
		if _, err := ParseDeviceKey(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// offerOf is an offer with any name field and public key, sealed as it must be.
func offerOf(k DeviceKey, public, padded []byte) []byte {
	b := append([]byte{1}, public...)
	salt := make([]byte, 32)
	rand.Read(salt)
	b = append(b, salt...)
	return aead(expand(k.key[:], salt, "sotto/1 link offer", keySize)).Seal(b, make([]byte, chacha20poly1305.NonceSize), padded, b[:1+devicePublicSize])
}

func TestOfferBounds(t *testing.T) {
	key := must(NewDeviceKey())
	public := key.private.PublicKey().Bytes()
	name := func(n byte, last byte) []byte {
		b := make([]byte, 1+maxName)
		b[0], b[maxName] = n, last
		return b
	}
	garbage := bytes.Repeat([]byte{0xff}, devicePublicSize)
	for what, tt := range map[string]struct {
		offer []byte
		link  string
		want  error
	}{
		"longest name":     {key.Offer(strings.Repeat("n", maxName)), key.LinkSecret(), nil},
		"as it is":         {offerOf(key, public, name(maxName, 'x')), key.LinkSecret(), nil},
		"name too long":    {offerOf(key, public, name(maxName+1, 'x')), key.LinkSecret(), ErrFormat},
		"padding":          {offerOf(key, public, name(maxName-1, 'x')), key.LinkSecret(), ErrFormat},
		"no public key":    {offerOf(key, garbage, name(0, 0)), key.LinkSecret(), ErrFormat},
		"short link":       {key.Offer("x"), "AAAA", ErrFormat},
		"link of nonsense": {key.Offer("x"), key.LinkSecret() + "!", ErrFormat},
		"short":            {key.Offer("x")[1:], key.LinkSecret(), ErrFormat},
		"version":          {append([]byte{2}, key.Offer("x")[1:]...), key.LinkSecret(), ErrFormat},
		"long":             {append(key.Offer("x"), 0), key.LinkSecret(), ErrFormat},
	} {
		if _, err := OpenOffer(tt.offer, tt.link); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
		if got, want := IsOffer(tt.offer), len(tt.offer) == offerSize && tt.offer[0] == 1; got != want {
			t.Errorf("%s: IsOffer says %v", what, got)
		}
	}
	a, b := key.Offer("x"), key.Offer("x")
	if at := 1 + devicePublicSize; bytes.Equal(a[at:at+32], b[at:at+32]) {
		t.Error("two offers have one salt")
	}
	for s, want := range map[string]string{"": "", "abcd": "abcd", "abcde": "abcd", "abc\u00e9": "abc", strings.Repeat("\x80", 9): ""} {
		if got := cutText(s, 4); got != want {
			t.Errorf("%q is cut to %q, want %q", s, got, want)
		}
	}
}

func TestDeviceWrapBounds(t *testing.T) {
	root, account, key := NewRootKey(), NewAccountID(), must(NewDeviceKey())
	offer := must(OpenOffer(key.Offer("x"), key.LinkSecret()))
	if _, err := WrapDevice(RootKey{}, account, offer); !errors.Is(err, ErrWrongKey) {
		t.Errorf("no key wrapped: %v", err)
	}
	if _, err := UnwrapDevice(must(WrapPasskey(root, account, []byte("x"), make([]byte, 32))), account, key); !errors.Is(err, ErrFormat) {
		t.Errorf("a passkey's wrap: %v", err)
	}
	// Somebody who has the link made it, and sealed nothing.
	w := must(WrapDevice(root, account, offer))
	sealed := make([]byte, len(w.Data)-32)
	w.Data = append(sealed, answerMAC(offer.secret, w.aad(account), sealed)...)
	if _, err := UnwrapDevice(w, account, key); !errors.Is(err, ErrTampered) {
		t.Errorf("nothing sealed: %v", err)
	}
}

func TestWrapBounds(t *testing.T) {
	root, account, prf := NewRootKey(), NewAccountID(), bytes.Repeat([]byte{7}, 32)
	for n, want := range map[int]error{0: ErrFormat, 1: nil, 1023: nil, 1024: ErrFormat} {
		if _, err := WrapPasskey(root, account, make([]byte, n), prf); !errors.Is(err, want) {
			t.Errorf("credential id of %d bytes: %v", n, err)
		}
	}
	if _, err := WrapPasskey(root, account, []byte("x"), prf[1:]); !errors.Is(err, ErrFormat) {
		t.Errorf("short prf output: %v", err)
	}
	passkey, again := must(WrapPasskey(root, account, []byte("x"), prf)), must(WrapPasskey(root, account, []byte("x"), prf))
	if bytes.Equal(passkey.Data[:32], again.Data[:32]) {
		t.Error("two wraps have one salt")
	}
	if _, err := UnwrapPasskey(passkey, account, prf[1:]); !errors.Is(err, ErrFormat) {
		t.Errorf("short prf output opens: %v", err)
	}
	odd := passkey
	odd.Kind = "other"
	if _, err := UnwrapPasskey(odd, account, prf); !errors.Is(err, ErrFormat) {
		t.Errorf("another kind: %v", err)
	}
	key := NewRecoveryKey()
	recovery := must(WrapRecovery(root, account, key))
	if _, err := UnwrapRecovery(passkey, account, key); !errors.Is(err, ErrFormat) {
		t.Errorf("a passkey's wrap for the recovery key: %v", err)
	}
	// Sealed under this key, and named as another's.
	named := newWrap(KindRecovery, NewID(), recovery.Params)
	if err := named.seal(root, account, key.wrapKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := UnwrapRecovery(named, account, key); !errors.Is(err, ErrWrongKey) {
		t.Errorf("under another name: %v", err)
	}

	for name, wrap := range map[string]func() (Wrap, error){
		"passkey":    func() (Wrap, error) { return WrapPasskey(RootKey{}, account, []byte("x"), prf) },
		"recovery":   func() (Wrap, error) { return WrapRecovery(RootKey{}, account, key) },
		"passphrase": func() (Wrap, error) { return wrapPassphrase(RootKey{}, account, "12345678", quickParams()) },
	} {
		if _, err := wrap(); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%s: no key wrapped: %v", name, err)
		}
	}

	device := must(NewDeviceKey())
	linked := must(WrapDevice(root, account, must(OpenOffer(device.Offer("x"), device.LinkSecret()))))
	phrase := must(wrapPassphrase(root, account, "12345678", quickParams()))
	spaced := json.RawMessage(strings.Replace(string(recovery.Params), ":", ": ", 1))
	spacedPhrase := json.RawMessage(strings.Replace(string(phrase.Params), ":", ": ", 1))
	params := json.RawMessage(`{}`)
	for name, tt := range map[string]struct {
		w      Wrap
		change func(w *Wrap)
		good   bool
	}{
		"passkey":               {passkey, func(w *Wrap) {}, true},
		"passkey, longest":      {passkey, func(w *Wrap) { w.Ref = strings.Repeat("A", maxWrapRef) }, true},
		"passkey, too long":     {passkey, func(w *Wrap) { w.Ref = strings.Repeat("A", maxWrapRef+2) }, false},
		"passkey, no ref":       {passkey, func(w *Wrap) { w.Ref = "" }, false},
		"passkey, bad ref":      {passkey, func(w *Wrap) { w.Ref = "AAAA!" }, false},
		"passkey, params":       {passkey, func(w *Wrap) { w.Params = params }, false},
		"passkey, short":        {passkey, func(w *Wrap) { w.Data = w.Data[1:] }, false},
		"recovery":              {recovery, func(w *Wrap) {}, true},
		"recovery, bad ref":     {recovery, func(w *Wrap) { w.Ref = "x" }, false},
		"recovery, no params":   {recovery, func(w *Wrap) { w.Params = nil }, false},
		"recovery, spaced":      {recovery, func(w *Wrap) { w.Params = spaced }, false},
		"recovery, short key":   {recovery, func(w *Wrap) { w.Params = must(json.Marshal(RecoveryParams{make([]byte, 31)})) }, false},
		"passphrase":            {phrase, func(w *Wrap) {}, true},
		"passphrase, ref":       {phrase, func(w *Wrap) { w.Ref = "x" }, false},
		"passphrase, no params": {phrase, func(w *Wrap) { w.Params = nil }, false},
		"passphrase, spaced":    {phrase, func(w *Wrap) { w.Params = spacedPhrase }, false},
		"device":                {linked, func(w *Wrap) {}, true},
		"device, bad ref":       {linked, func(w *Wrap) { w.Ref = strings.ToUpper(w.Ref) }, false},
		"device, params":        {linked, func(w *Wrap) { w.Params = params }, false},
		"device, short":         {linked, func(w *Wrap) { w.Data = w.Data[:wrapSize] }, false},
		"unknown":               {passkey, func(w *Wrap) { w.Kind = "key under the mat" }, false},
	} {
		tt.change(&tt.w)
		err := tt.w.Check()
		if (err == nil) != tt.good || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		doc, err := json.Marshal(tt.w)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "spaced") {
			continue // encoding/json takes the space out
		}
		if _, err := ParseWrap(doc); (err == nil) != tt.good {
			t.Errorf("%s: parsed: %v", name, err)
		}
	}
	if _, err := (Wrap{Params: must(json.Marshal(RecoveryParams{make([]byte, 31)}))}).RecoverySignInKey(); !errors.Is(err, ErrFormat) {
		t.Errorf("short key: %v", err)
	}
}

func quickParams() PassphraseParams {
	return PassphraseParams{Memory: argonMinMemory, Time: 1, Threads: 1, Salt: make([]byte, argonSaltSize)}
}

func TestPassphraseBounds(t *testing.T) {
	root, account := NewRootKey(), NewAccountID()
	p := quickParams()
	params := must(json.Marshal(p))
	for n, good := range map[int]bool{minPassphrase - 1: false, minPassphrase: true, maxPassphrase: true, maxPassphrase + 1: false} {
		phrase := strings.Repeat("p", n)
		if _, err := wrapPassphrase(root, account, phrase, p); (err == nil) != good || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("of %d bytes: %v", n, err)
		}
		// Whoever made the wrap had another idea of what is long enough.
		w := newWrap(KindPassphrase, "", params)
		if err := w.seal(root, account, argon2.IDKey([]byte(phrase), p.Salt, p.Time, p.Memory, p.Threads, keySize)); err != nil {
			t.Fatal(err)
		}
		if _, err := UnwrapPassphrase(w, account, phrase); (err == nil) != good || err != nil && !errors.Is(err, ErrWrongKey) {
			t.Errorf("unwrapping with %d bytes: %v", n, err)
		}
	}
	if _, err := UnwrapPassphrase(must(WrapPasskey(root, account, []byte("x"), make([]byte, 32))), account, "12345678"); !errors.Is(err, ErrFormat) {
		t.Errorf("a passkey's wrap: %v", err)
	}
	short := newWrap(KindPassphrase, "", params)
	short.Data = make([]byte, 10)
	if _, err := UnwrapPassphrase(short, account, "12345678"); !errors.Is(err, ErrFormat) {
		t.Errorf("ten bytes of data: %v", err)
	}
	for name, tt := range map[string]struct {
		change func(p *PassphraseParams)
		good   bool
	}{
		"least":          {func(p *PassphraseParams) {}, true},
		"little memory":  {func(p *PassphraseParams) { p.Memory-- }, false},
		"most memory":    {func(p *PassphraseParams) { p.Memory = argonMaxMemory }, true},
		"much memory":    {func(p *PassphraseParams) { p.Memory = argonMaxMemory + 1 }, false},
		"no time":        {func(p *PassphraseParams) { p.Time = 0 }, false},
		"most time":      {func(p *PassphraseParams) { p.Time = argonMaxTime }, true},
		"much time":      {func(p *PassphraseParams) { p.Time = argonMaxTime + 1 }, false},
		"no lane":        {func(p *PassphraseParams) { p.Threads = 0 }, false},
		"most lanes":     {func(p *PassphraseParams) { p.Threads = argonMaxLanes }, true},
		"many lanes":     {func(p *PassphraseParams) { p.Threads = argonMaxLanes + 1 }, false},
		"short salt":     {func(p *PassphraseParams) { p.Salt = p.Salt[1:] }, false},
		"no salt at all": {func(p *PassphraseParams) { p.Salt = nil }, false},
	} {
		p := quickParams()
		tt.change(&p)
		if _, err := parsePassphraseParams(must(json.Marshal(p))); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a person gets is not quick, and salted.
	w := must(WrapPassphrase(root, account, "12345678"))
	got, err := parsePassphraseParams(w.Params)
	if err != nil || got.Memory != 64<<10 || got.Time != 3 || bytes.Equal(got.Salt, make([]byte, argonSaltSize)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRecoveryKeyAsTyped(t *testing.T) {
	var k RecoveryKey
	for {
		// One with a 0 and a 1 in it, for what people type instead.
		if k = NewRecoveryKey(); strings.Contains(strings.Join(k.Groups(), ""), "0") && strings.Contains(strings.Join(k.Groups(), ""), "1") {
			break
		}
	}
	groups := k.Groups()
	plain := strings.Join(groups, "-")
	typed := []string{plain, strings.ToLower(plain), strings.Join(groups, ""), strings.ReplaceAll(plain, "0", "O"), strings.ReplaceAll(plain, "0", "o")}
	for _, sep := range []string{" ", "\t", "\n", "\r", "\u00a0", "–", "—", "‑"} {
		typed = append(typed, strings.Join(groups, sep))
	}
	for _, one := range "IiLl" {
		typed = append(typed, strings.ReplaceAll(plain, "1", string(one)))
	}
	typed = append(typed, plain+strings.Repeat(" ", 1024-len(plain)))
	for _, s := range typed {
		got, err := ParseRecoveryKey(s)
		if err != nil || *got.bits != *k.bits {
			t.Errorf("%q: %v", s, err)
		}
	}
	change := func(at int, c byte) func(s []byte) { return func(s []byte) { s[at] = c } }
	next := func(s []byte, at int) { s[at] = alphabet[(strings.IndexByte(alphabet, s[at])+1)%32] }
	for name, tt := range map[string]struct {
		change []func(s []byte)
		want   RecoveryKeyError
	}{
		"in the first group":  {[]func([]byte){change(2, '*')}, RecoveryKeyError{Group: 1}},
		"in two groups":       {[]func([]byte){change(2, '*'), change(14, '*')}, RecoveryKeyError{Group: 1}},
		"in the third":        {[]func([]byte){change(14, 'U')}, RecoveryKeyError{Group: 3}},
		"a wrong one":         {[]func([]byte){func(s []byte) { next(s, 9) }}, RecoveryKeyError{Group: 2}},
		"a wrong one, and no": {[]func([]byte){func(s []byte) { next(s, 9) }, change(25, '*')}, RecoveryKeyError{Group: 5}},
		"too few":             {[]func([]byte){change(2, ' ')}, RecoveryKeyError{Have: 39}},
	} {
		s := []byte(plain)
		for _, f := range tt.change {
			f(s)
		}
		_, err := ParseRecoveryKey(string(s))
		var got *RecoveryKeyError
		if !errors.As(err, &got) || *got != tt.want {
			t.Errorf("%s: %v, want %v", name, err, &tt.want)
		}
	}
	_, err := ParseRecoveryKey(plain + strings.Repeat(" ", 1025-len(plain)))
	if err == nil || err.Error() != "recovery key has 1025 characters, it should have 40" {
		t.Errorf("too long: %v", err)
	}
	if got := (&RecoveryKeyError{Group: 3}).Error(); got != "recovery key: group 3 has a wrong character" {
		t.Error(got)
	}
	if got := must(ParseRecoveryKey(strings.Join(RecoveryKey{new([recoverySize]byte)}.Groups(), ""))); *got.bits != [recoverySize]byte{} {
		t.Error("the key of zeros is another one")
	}
}

func TestSignInBounds(t *testing.T) {
	k := NewRecoveryKey()
	challenge := make([]byte, 32)
	public, sig := k.signInKey(), k.SignIn("https://a.example", challenge)
	for name, tt := range map[string]struct {
		public, challenge, sig []byte
		good                   bool
	}{
		"as it is":          {public, challenge, sig, true},
		"another signature": {public, challenge, make([]byte, len(sig)), false},
		"another key":       {NewRecoveryKey().signInKey(), challenge, sig, false},
		"a short key":       {public[1:], challenge, sig, false},
		"a short challenge": {public, challenge[1:], k.SignIn("https://a.example", challenge[1:]), false},
	} {
		if got := VerifySignIn(tt.public, k.ID(), "https://a.example", tt.challenge, tt.sig); got != tt.good {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSecretsEnd(t *testing.T) {
	root, recovery := NewRootKey(), NewRecoveryKey()
	for _, v := range []any{root, recovery} {
		if got := fmt.Sprintf("%v", v); got != hidden {
			t.Errorf("%T prints as %q", v, got)
		}
		if b, err := v.(json.Marshaler).MarshalJSON(); err == nil {
			t.Errorf("%T is written as JSON: %s", v, b)
		}
	}
	if !root.Valid() || (RootKey{}).Valid() {
		t.Error("which keys are none?")
	}
	root.Erase()
	recovery.Erase()
	if root.Valid() || *recovery.bits != [recoverySize]byte{} {
		t.Error("an erased key is one")
	}
	(RootKey{}).Erase()
	(RecoveryKey{}).Erase()
	for want, f := range map[string]func(){
		"vault: internal error: root key is empty":     func() { (RootKey{}).derive(AccountID{}, "x") },
		"vault: internal error: recovery key is empty": func() { (RecoveryKey{}).ID() },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			f()
		}()
	}
}

func TestCanonical(t *testing.T) {
	for doc, good := range map[string]bool{`{"sign_in_key":"AAAA"}`: true, `{"sign_in_key": "AAAA"}`: false, `{"sign_in_key":"AAAA","x":1}`: false, `{`: false} {
		var p RecoveryParams
		if err := decodeCanonical([]byte(doc), &p); (err == nil) != good || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// broken takes some bytes and then no more.
type broken struct{ left int }

var errBroken = errors.New("no room")

func (b *broken) Write(p []byte) (int, error) {
	if b.left < len(p) {
		return 0, errBroken
	}
	b.left -= len(p)
	return len(p), nil
}

func TestZipBounds(t *testing.T) {
	made := time.Unix(1_800_000_000, 0)
	for name, tt := range map[string]struct {
		at   uint64
		path int
		want error
	}{
		"as it is":                     {0, 10, nil},
		"longest path":                 {0, math.MaxUint16, nil},
		"longer":                       {0, math.MaxUint16 + 1, errZipSize},
		"as far as 32 bits can say":    {math.MaxUint32, 10, nil},
		"further than 32 bits can say": {math.MaxUint32 + 1, 10, errZipSize},
	} {
		z := zipWriter{w: io.Discard, at: tt.at}
		if err := z.add(strings.Repeat("p", tt.path), []byte("x"), made); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for at, want := range map[uint64]error{math.MaxUint32: nil, math.MaxUint32 + 1: errZipSize} {
		z := zipWriter{w: io.Discard, at: at}
		if err := z.close(); !errors.Is(err, want) {
			t.Errorf("closed at %d: %v", at, err)
		}
	}
	for n, wide := range map[int]bool{1: false, math.MaxUint16 - 1: false, math.MaxUint16: true} {
		var b bytes.Buffer
		z := zipWriter{w: &b, files: uint64(n)}
		if err := z.close(); err != nil || bytes.Contains(b.Bytes(), []byte("PK\x06\x06")) != wide {
			t.Errorf("%d files: %v", n, err)
		}
	}
}

// A header that can't be written is an error, whatever becomes of the data.
func TestZipHeaderToAFullDisk(t *testing.T) {
	z := zipWriter{w: &broken{10}}
	if err := z.add("a path", []byte("x"), time.Unix(1_800_000_000, 0)); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

// A disk that fills up is an error, at whatever byte.
func TestExportToAFullDisk(t *testing.T) {
	r := NewReplica(NewRootKey(), NewAccountID(), NewDeviceID())
	// A long text: without it, what comes after would fit nowhere either.
	if _, err := r.AddMessage(Message{Chat: NewID(), Role: "user", Text: strings.Repeat("x", 5000)}); err != nil {
		t.Fatal(err)
	}
	made := time.Unix(1_800_000_000, 0)
	var whole bytes.Buffer
	if err := r.ExportZip(&whole, made); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < whole.Len(); n += 7 {
		if err := r.ExportZip(&broken{n}, made); !errors.Is(err, errBroken) {
			t.Fatalf("room for %d bytes of %d: %v", n, whole.Len(), err)
		}
	}
	if err := r.ExportZip(&broken{whole.Len()}, made); err != nil {
		t.Error(err)
	}
}

func TestDocumentsInWords(t *testing.T) {
	a, b := NewID(), NewID()
	d := NewDocument(Chat{}, []Message{
		{ID: a, Role: "system", Text: "be brief"},
		{ID: b, Parent: a, Role: "assistant", Status: "failed", Error: "too\nlong"},
		{ID: NewID(), Parent: NewID(), Role: "tool", Status: "stopped"},
		{ID: NewID(), Parent: a, Role: "user", Model: "m"},
	})
	md := string(d.Markdown())
	for _, want := range []string{"# Untitled chat\n", "## 1. Instructions\n", " · failed\n", "\n> too long\n", "## 3. tool\n", " · another beginning · stopped\n", "## 4. You (m)\n", " · after message 1\n"} {
		if !strings.Contains(md, want) {
			t.Errorf("%q is missing in\n%s", want, md)
		}
	}
	if strings.Contains(md, "after message 0") {
		t.Errorf("in\n%s", md)
	}
	if doc := must(NewDocument(Chat{}, nil).JSON()); !bytes.Contains(doc, []byte(`"messages": []`)) {
		t.Errorf("no messages are written as %s", doc)
	}
	if _, ok := NewReplica(NewRootKey(), NewAccountID(), NewDeviceID()).Export(NewID()); ok {
		t.Error("a chat that isn't there is exported")
	}
}

func TestFoldEach(t *testing.T) {
	for text, want := range map[string]string{
		"A": "a", "Z": "z", "@[": "@[", "Æ": "ae", "œ": "oe", "Ĳ": "ij", "Þ": "th", "ς": "σ", "Σ": "σ", "ß": "ss",
		"e\u0300": "e", "e\u036f": "e", "x\u00ady": "xy", "п\u0483": "п", "ª": "ª", "ˀ": "ˀ", "ͱ": "ͱ", "א\u0591": "א\u0591", "\x80": "\ufffd", "É\x00": "e\x00",
	} {
		if got := fold(text); got != want {
			t.Errorf("%q is folded to %q, want %q", text, got, want)
		}
		if got, _ := foldOffsets(text); got != want {
			t.Errorf("%q is folded with offsets to %q, want %q", text, got, want)
		}
	}
}

func TestMarksAndSnippets(t *testing.T) {
	for _, tt := range []struct {
		text  string
		words []string
		want  [][2]int
	}{
		{"ab--bc", []string{"bc", "ab"}, [][2]int{{0, 2}, {4, 6}}},
		{"abc", []string{"ab", "bc"}, [][2]int{{0, 3}}},
		{"abcd", []string{"ab", "cd"}, [][2]int{{0, 4}}},
		{"abc", []string{"b", "abc"}, [][2]int{{0, 3}}},
	} {
		if got := marks(tt.text, tt.words); !slices.Equal(got, tt.want) {
			t.Errorf("%q in %q: %v, want %v", tt.words, tt.text, got, tt.want)
		}
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct{ text, want string }{
		{"word", "word"},
		{x(40) + "word", x(40) + "word"},
		{x(41) + "word", "…" + x(40) + "word"},
		{"word" + x(156), "word" + x(156)},
		{"word" + x(157), "word" + x(156) + "…"},
		{"none of it", "none of it"},
		{x(200), x(160) + "…"},
	} {
		if got, _ := snippet(tt.text, []string{"word"}); got != tt.want {
			t.Errorf("of %q: %q, want %q", tt.text, got, tt.want)
		}
	}
}
