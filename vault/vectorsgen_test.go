// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"golang.org/x/crypto/argon2"
)

// This file makes the vectors. What a correct writer never makes is put together
// here by hand.

type generator struct {
	t       *testing.T
	root    RootKey
	account AccountID
}

func makeVectors(t *testing.T) {
	// The same vectors from each run, as long as Go draws randomness in the
	// same order.
	cryptotest.SetGlobalRandom(t, 1)
	g := &generator{t: t, root: rootOf(bytes.Repeat([]byte{0x42}, 32))}
	for i := range g.account {
		g.account[i] = byte(i)
	}
	g.padding()
	g.keys()
	g.recovery()
	g.wraps()
	g.offers()
	g.records()
	g.feeds()
}

func write[V any](t *testing.T, name, about string, vectors []V) {
	t.Helper()
	b, err := json.MarshalIndent(file[V]{about + " See README.md.", vectors}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorDir, name), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (g *generator) padding() {
	var vs []paddingVector
	for _, n := range []int{0, 1, 44, 255, 256, 257, 272, 273, 511, 512, 513, 1000, 1024, 1025, 9999, 65536, 65537, 1_000_000, 1_015_808, maxPadded - 1, maxPadded} {
		vs = append(vs, paddingVector{n, paddedSize(n)})
	}
	write(g.t, "padding.json", "Sizes before and after padding.", vs)
}

func (g *generator) keys() {
	var vs []keyVector
	for _, purpose := range []string{"records", "register ids", "labels", "local pending answers"} {
		vs = append(vs, keyVector{Root: g.root.key[:], Account: g.account, Purpose: purpose, Key: g.root.derive(g.account, purpose)})
	}
	r := NewReplica(g.root, g.account, DeviceID{})
	for _, x := range [][2]string{{"", "settings"}, {"000102030405060708090a0b0c0d0e0f", RegisterTitle}, {"000102030405060708090a0b0c0d0e0f", RegisterPinned}} {
		id := r.registerID(x[0], x[1])
		vs = append(vs, keyVector{Root: g.root.key[:], Account: g.account, Chat: x[0], Name: x[1], Register: id[:]})
	}
	write(g.t, "keys.json", "Keys of one purpose, and ids of registers.", vs)
}

func (g *generator) recovery() {
	var vs []recoveryVector
	challenge := bytes.Repeat([]byte{9}, 32)
	ok := func(name, text string, k RecoveryKey) {
		id := k.ID()
		vs = append(vs, recoveryVector{
			Name: name, Text: text, Expect: "ok", Bits: k.bits[:], ID: id[:], SignInKey: k.signInKey(), WrapKey: k.wrapKey(),
			Origin: "https://sotto.example", Challenge: challenge, Signature: k.SignIn("https://sotto.example", challenge),
		})
	}
	k := NewRecoveryKey()
	groups := k.Groups()
	text := strings.Join(groups, "-")
	ok("as shown", text, k)
	ok("lower case with spaces", strings.ToLower(strings.Join(groups, " ")), k)
	ok("in one piece", strings.Join(groups, ""), k)
	zero := RecoveryKey{new([recoverySize]byte)}
	ok("all zero bits", strings.Join(zero.Groups(), "-"), zero)
	ok("zero typed as O", strings.ReplaceAll(strings.Join(zero.Groups(), "-"), "0", "o"), zero)
	ones := RecoveryKey{(*[recoverySize]byte)(bytes.Repeat([]byte{0xff}, recoverySize))}
	ok("all one bits", strings.Join(ones.Groups(), " "), ones)

	fail := func(expect, name string, change func(g []string)) {
		c := slices.Clone(groups)
		change(c)
		vs = append(vs, recoveryVector{Name: name, Text: strings.Join(c, "-"), Expect: expect})
	}
	swap := func(s string, i int) string {
		b := []byte(s)
		b[i], b[i+1] = b[i+1], b[i]
		return string(b)
	}
	other := func(c byte) string { return string(alphabet[(strings.IndexByte(alphabet, c)+1)%32]) }
	fail("group 1", "first character wrong", func(g []string) { g[0] = other(g[0][0]) + g[0][1:] })
	fail("group 5", "check character wrong", func(g []string) { g[4] = g[4][:4] + other(g[4][4]) })
	for i := range groups {
		if groups[i][1] != groups[i][2] {
			fail("group "+strconv.Itoa(i+1), "neighbours swapped", func(g []string) { g[i] = swap(g[i], 1) })
			break
		}
	}
	fail("group 3", "two groups swapped", func(g []string) { g[2], g[6] = g[6], g[2] })
	fail("group 8", "a character that is in no key", func(g []string) { g[7] = "U" + g[7][1:] })
	fail("length", "one character missing", func(g []string) { g[7] = g[7][:4] })
	fail("length", "one character too many", func(g []string) { g[7] += "0" })
	fail("length", "nothing", func(g []string) { clear(g) })
	write(g.t, "recovery.json", "Recovery keys as typed.", vs)
}

func (g *generator) wraps() {
	var vs []wrapVector
	prf := bytes.Repeat([]byte{7}, 32)
	recovery := NewRecoveryKey()
	recoveryText := strings.Join(recovery.Groups(), "-")
	quick := PassphraseParams{Memory: argonMinMemory, Time: 1, Threads: 1, Salt: bytes.Repeat([]byte{5}, argonSaltSize)}
	device := must(NewDeviceKey())
	offer := must(OpenOffer(device.Offer("terminal"), device.LinkSecret()))
	deviceBytes := must(device.Bytes())

	passkey := must(WrapPasskey(g.root, g.account, []byte("credential id"), prf))
	passphrase := must(wrapPassphrase(g.root, g.account, "correct horse battery", quick))
	paper := must(WrapRecovery(g.root, g.account, recovery))
	terminal := must(WrapDevice(g.root, g.account, offer))
	encode := func(w Wrap) string { return string(must(json.Marshal(w))) }
	add := func(expect, name, comment, wrap string, secret wrapVector) {
		v := secret
		v.Name, v.Comment, v.Expect, v.Account, v.Wrap = name, comment, expect, g.account, wrap
		if expect == "ok" {
			v.Root = g.root.key[:]
		}
		vs = append(vs, v)
	}
	withPRF, withPaper := wrapVector{PRF: prf}, wrapVector{Recovery: recoveryText}
	withPhrase, withDevice := wrapVector{Passphrase: "correct horse battery"}, wrapVector{Device: deviceBytes}
	add("ok", "passkey", "", encode(passkey), withPRF)
	add("ok", "recovery key", "", encode(paper), withPaper)
	add("ok", "passphrase", "quick parameters, the least allowed", encode(passphrase), withPhrase)
	add("ok", "device", "", encode(terminal), withDevice)

	add("wrong_key", "passkey: another output", "", encode(passkey), wrapVector{PRF: make([]byte, 32)})
	add("wrong_key", "recovery key: another one", "", encode(paper), wrapVector{Recovery: strings.Join(NewRecoveryKey().Groups(), "-")})
	add("wrong_key", "passphrase: another one", "", encode(passphrase), wrapVector{Passphrase: "correct house battery"})
	add("wrong_key", "device: another one", "", encode(terminal), wrapVector{Device: must(must(NewDeviceKey()).Bytes())})

	change := func(w Wrap, f func(*Wrap)) string {
		w.Data = bytes.Clone(w.Data)
		f(&w)
		return encode(w)
	}
	flip := func(i int) func(*Wrap) { return func(w *Wrap) { w.Data[(i+len(w.Data))%len(w.Data)] ^= 1 } }
	add("wrong_key", "passkey: salt changed", "another salt gives another commitment", change(passkey, flip(0)), withPRF)
	add("wrong_key", "passkey: commitment changed", "", change(passkey, flip(32)), withPRF)
	add("tampered", "passkey: sealed key changed", "", change(passkey, flip(64)), withPRF)
	add("tampered", "passkey: tag changed", "", change(passkey, flip(-1)), withPRF)
	add("tampered", "passkey: moved to another wrap id", "", change(passkey, func(w *Wrap) { w.ID[0] ^= 1 }), withPRF)
	add("tampered", "passkey: said to be of another credential", "", change(passkey, func(w *Wrap) { w.Ref = "b3RoZXI" }), withPRF)
	add("tampered", "recovery key: another sign-in key", "the server could name a key of its own", change(paper, func(w *Wrap) {
		w.Params = must(json.Marshal(RecoveryParams{SignInKey: make([]byte, 32)}))
	}), withPaper)
	add("tampered", "device: tag of the link changed", "", change(terminal, flip(-1)), withDevice)
	add("tampered", "device: sealed key changed", "", change(terminal, flip(1130)), withDevice)
	evil := *offer
	evil.secret = newSecret()
	add("tampered", "device: made by somebody without the link", "who has the public key only", encode(must(WrapDevice(g.root, g.account, &evil))), withDevice)
	foreign := must(WrapPasskey(g.root, AccountID{0xff}, []byte("credential id"), prf))
	add("tampered", "passkey: of another account", "", encode(foreign), withPRF)
	empty := newWrap(KindPasskey, passkey.Ref, nil)
	empty.Data = empty.sealWith(rootOf(make([]byte, 32)), g.account, prf, bytes.Repeat([]byte{1}, 32))
	add("tampered", "passkey: root key of zeros", "", encode(empty), withPRF)

	params := func(f func(*PassphraseParams)) string {
		p := quick
		p.Salt = bytes.Clone(quick.Salt)
		f(&p)
		w := newWrap(KindPassphrase, "", must(json.Marshal(p)))
		key := make([]byte, 32)
		if p.Memory >= 8 && p.Memory < 1<<18 && p.Time > 0 && p.Time < 100 && p.Threads > 0 {
			key = argon2.IDKey([]byte("correct horse battery"), p.Salt, p.Time, p.Memory, p.Threads, keySize)
		}
		w.Data = w.sealWith(g.root, g.account, key, bytes.Repeat([]byte{1}, 32))
		return encode(w)
	}
	add("format", "passphrase: too little memory", "opens, but would not protect", params(func(p *PassphraseParams) { p.Memory = 8 }), withPhrase)
	add("format", "passphrase: too much memory", "would freeze the reader", params(func(p *PassphraseParams) { p.Memory = argonMaxMemory + 1 }), withPhrase)
	add("format", "passphrase: no pass", "", params(func(p *PassphraseParams) { p.Time = 0 }), withPhrase)
	add("format", "passphrase: too many passes", "", params(func(p *PassphraseParams) { p.Time = argonMaxTime + 1 }), withPhrase)
	add("format", "passphrase: too many lanes", "", params(func(p *PassphraseParams) { p.Threads = argonMaxLanes + 1 }), withPhrase)
	add("format", "passphrase: short salt", "", params(func(p *PassphraseParams) { p.Salt = p.Salt[1:] }), withPhrase)

	good := encode(passkey)
	add("format", "a byte too short", "", change(passkey, func(w *Wrap) { w.Data = w.Data[1:] }), withPRF)
	add("format", "of unknown kind", "", strings.Replace(good, `"passkey"`, `"password"`, 1), withPRF)
	add("format", "unknown field", "", strings.Replace(good, `{`, `{"extra":1,`, 1), withPRF)
	add("format", "repeated field", "", strings.Replace(good, `{`, `{"kind":"recovery",`, 1), withPRF)
	add("format", "white space", "", strings.Replace(good, `,`, `, `, 1), withPRF)
	add("format", "trailing bytes", "", good+"\n", withPRF)
	add("format", "truncated", "", good[:len(good)-1], withPRF)
	add("format", "upper-case id", "", strings.Replace(good, passkey.ID.String(), strings.ToUpper(passkey.ID.String()), 1), withPRF)
	add("format", "not JSON", "", "wrap", withPRF)
	write(g.t, "wraps.json", "Wraps, opened with a secret.", vs)
}

func (g *generator) offers() {
	var vs []offerVector
	device := must(NewDeviceKey())
	offer := device.Offer("laptop · terminal")
	link := device.LinkSecret()
	o := must(OpenOffer(offer, link))
	ref := deviceRef(o.encoded)
	var refBytes hexBytes
	if err := refBytes.UnmarshalText([]byte(ref)); err != nil {
		g.t.Fatal(err)
	}
	vs = append(vs, offerVector{"a terminal", "ok", offer, link, o.Name, o.Code(), refBytes})
	fail := func(expect, name string, offer []byte, link string) {
		vs = append(vs, offerVector{Name: name, Expect: expect, Offer: offer, LinkSecret: link})
	}
	flip := func(i int) []byte {
		b := bytes.Clone(offer)
		b[i] ^= 1
		return b
	}
	fail("tampered", "public key changed", flip(100), link)
	fail("tampered", "salt changed", flip(1220), link)
	fail("tampered", "name changed", flip(1260), link)
	fail("tampered", "another link", offer, must(NewDeviceKey()).LinkSecret())
	fail("format", "version", flip(0), link)
	fail("format", "truncated", offer[1:], link)
	fail("format", "trailing byte", append(bytes.Clone(offer), 0), link)
	fail("format", "short link secret", offer, link[:42])
	write(g.t, "offers.json", "Offers of terminals, opened with the link's secret.", vs)
}

func (g *generator) records() {
	var vs []recordVector
	key := g.root.derive(g.account, "records")
	head := Genesis(g.account).Next(Messages, RecordID{1}, Version{}, Digest([]byte("x")))
	msg := place{Messages, RecordID(bytes.Repeat([]byte{0xaa}, 16)), Version{}}
	reg := place{Registers, RecordID(bytes.Repeat([]byte{0xbb}, 16)), Version{30_000_000 << 24, DeviceID{1, 2, 3, 4, 5, 6, 7, 8}}}
	add := func(expect, name, comment string, p place, data []byte) *recordVector {
		vs = append(vs, recordVector{Name: name, Comment: comment, Expect: expect, Root: g.root.key[:], Account: g.account,
			Collection: p.collection, ID: p.id, Version: p.version, Data: data})
		return &vs[len(vs)-1]
	}
	ok := func(name string, p place, known Head, body string) []byte {
		data := must(sealRecord(key, g.account, p, known, []byte(body)))
		v := add("ok", name, "", p, data)
		v.Known, v.Body = &known, body
		return data
	}
	good := ok("message", msg, head, `{"chat":"00","role":"user","text":"hello"}`)
	ok("register", reg, head, `{"chat":"","name":"settings","value":1}`)
	ok("tombstone", place{collection: Tombstones, id: RecordID{9}}, head, `{"erase":[]}`)
	ok("empty", msg, Genesis(g.account), "")
	ok("longest of the least size", msg, head, strings.Repeat("x", 256-44))
	ok("one more", msg, head, strings.Repeat("x", 256-44+1))

	flip := func(i int) []byte {
		b := bytes.Clone(good)
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
	other := msg
	other.id[0] ^= 1
	add("swapped", "in the place of another id", "", other, good)
	add("swapped", "in another collection", "", place{Files, msg.id, Version{}}, good)
	add("swapped", "as another version", "", place{Messages, msg.id, reg.version}, good)
	foreign := must(sealRecord(g.root.derive(AccountID{0xff}, "records"), AccountID{0xff}, msg, head, []byte("x")))
	add("foreign", "of another account", "", msg, foreign)
	relabelled := slices.Concat(good[:1], g.account[:], foreign[17:])
	add("tampered", "of another account, relabelled", "", msg, relabelled)
	moved := must(sealRecord(key, g.account, other, head, []byte("x")))
	add("tampered", "of another id, relabelled", "", msg, slices.Concat(good[:recordHeader], moved[recordHeader:]))
	add("tampered", "salt changed", "", msg, flip(recordHeader))
	add("tampered", "ciphertext changed", "", msg, flip(recordHeader+recordSalt))
	add("tampered", "tag changed", "", msg, flip(-1))
	add("format", "version 0", "", msg, flip(0))
	add("format", "empty", "", msg, []byte{})
	add("format", "truncated", "", msg, good[:len(good)-1])
	add("format", "trailing byte", "", msg, append(bytes.Clone(good), 0))
	add("format", "truncated to the header", "", msg, good[:recordHeader])

	forge := func(plain []byte) []byte {
		out := appendRecordHeader(nil, g.account, msg)
		salt := bytes.Repeat([]byte{3}, recordSalt)
		out = append(out, salt...)
		return aead(recordKey(key, salt)).Seal(out, make([]byte, 12), plain, recordAAD(out[:recordHeader]))
	}
	plain := func(n uint32, size int) []byte {
		b := make([]byte, size)
		b[0], b[1], b[2], b[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		return b
	}
	dirty := plain(40, 256)
	dirty[255] = 1
	add("format", "padding is not zero", "only a holder of the key can make it", msg, forge(dirty))
	add("format", "shorter than the writer's head", "only a holder of the key can make it", msg, forge(plain(39, 256)))
	add("format", "longer than it is", "only a holder of the key can make it", msg, forge(plain(253, 256)))
	add("format", "very much longer than it is", "only a holder of the key can make it", msg, forge(plain(1<<32-1, 256)))
	add("format", "padded more than it should be", "only a holder of the key can make it", msg, forge(plain(40, 272)))
	add("format", "padded to no Padmé size", "only a holder of the key can make it", msg, forge(plain(40, 257)))
	write(g.t, "records.json", "Sealed records, opened at a place.", vs)
}

func (g *generator) feeds() {
	var vs []feedVector
	chat := "c0ffee00c0ffee00c0ffee00c0ffee00"
	build := func() (*feed, *Replica) {
		f := &feed{account: g.account, head: Genesis(g.account)}
		a := NewReplica(g.root, g.account, DeviceID{0xa})
		a.Now = func() time.Time { return time.Unix(1_800_000_000, 0) }
		var last string
		for i, text := range []string{"one", "two", "three"} {
			id := fmt.Sprintf("%032x", i+1)
			must(a.AddMessage(Message{ID: id, Chat: chat, Parent: last, Role: "user", Text: text, Created: int64(i + 1)}))
			last = id
			f.sync(g.t, a)
		}
		must(a.SetTitle(chat, "first title", true))
		f.sync(g.t, a)
		must(a.SetTitle(chat, "second title", false))
		f.sync(g.t, a)
		must(a.DeleteMessages(fmt.Sprintf("%032x", 2)))
		f.sync(g.t, a)
		return f, a
	}
	add := func(name, comment string, pages ...Page) {
		v := feedVector{Name: name, Comment: comment, Root: g.root.key[:], Account: g.account, Problems: map[string]string{}}
		r := NewReplica(g.root, g.account, DeviceID{})
		for _, p := range pages {
			v.Pages = append(v.Pages, must(json.Marshal(p)))
			v.Expect = append(v.Expect, failureName(r.Apply(p)))
		}
		v.Head = r.Head()
		for _, p := range r.Problems() {
			v.Problems[strconv.FormatUint(p.Seq, 10)] = failureName(p.Err)
		}
		v.Messages, v.Titles = shown(r)
		vs = append(vs, v)
	}
	f, _ := build()
	n := uint64(len(f.entries))
	part := func(from, to uint64) Page { return Page{f.head, slices.Clone(f.entries[from:to])} }
	lie := func(change func([]Entry) []Entry) Page {
		return rechain(g.account, change(slices.Clone(f.entries)))
	}
	add("honest, one page", "the second message and the first title are erased, with reason", part(0, n))
	add("honest, three pages", "", part(0, 2), part(2, 4), part(4, n))
	add("honest, pages that overlap", "", part(0, 3), part(1, n), part(0, n))
	add("honest, nothing new", "", part(0, n), part(n, n))
	add("out of order", "the third page comes again when its turn is", part(0, 2), part(4, n), part(2, n))
	add("rolled back", "", part(0, n), Page{Head{3, f.entries[2].Hash}, []Entry{}})
	add("tail withheld", "", part(0, 3), Page{f.head, []Entry{}})
	add("forked at the head", "", part(0, 3), Page{Head{3, Hash{1}}, []Entry{}})
	forked := lie(func(e []Entry) []Entry { e[0], e[2] = e[2], e[0]; return e })
	add("forked behind the head", "", part(0, 3), since(forked, 3))
	add("known entry is another one", "", part(0, 3), since(forked, 1))
	gap := part(0, n)
	gap.Entries = slices.Delete(gap.Entries, 2, 3)
	add("entry left out", "", gap)
	wrong := part(0, n)
	wrong.Entries[2].Data = bytes.Clone(wrong.Entries[2].Data)
	wrong.Entries[2].Data[150] ^= 1
	add("record changed, hash kept", "", wrong)
	add("record changed, chained anew", "everything else opens; the writers of later records saw another history",
		lie(func(e []Entry) []Entry {
			e[2].Data = bytes.Clone(e[2].Data)
			e[2].Data[150] ^= 1
			return e
		}))
	add("records swapped, chained anew", "", lie(func(e []Entry) []Entry { e[0].Data, e[2].Data = e[2].Data, e[0].Data; return e }))
	add("record repeated", "", lie(func(e []Entry) []Entry { return append(e, e[0]) }))
	add("entry erased without reason", "", lie(func(e []Entry) []Entry { e[2].erase(); return e }))
	add("entry left out, chained anew", "writers had seen more entries than there are", lie(func(e []Entry) []Entry { return slices.Delete(e, 1, 2) }))
	add("chain of another account", "", rechain(AccountID{0xff}, slices.Clone(f.entries)))
	neither := part(0, n)
	neither.Entries[0].Data = nil
	add("neither data nor digest", "", neither)
	long := part(0, n)
	long.Entries[0].Size++
	add("wrong size", "", long)
	write(g.t, "feed.json", "Pages of a feed, applied in order to an empty replica.", vs)
}
