// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds returns the vectors of a file for a fuzz target to start from.
func seeds[V any](f *testing.F, name string) []V {
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		f.Fatal(err)
	}
	var v file[V]
	if err := json.Unmarshal(b, &v); err != nil {
		f.Fatal(err)
	}
	return v.Vectors
}

func FuzzParseRecoveryKey(f *testing.F) {
	for _, v := range seeds[recoveryVector](f, "recovery.json") {
		f.Add(v.Text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseRecoveryKey(s)
		if err != nil {
			var bad *RecoveryKeyError
			if !errors.As(err, &bad) || bad.Group < 0 || bad.Group > recoveryGroups {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := ParseRecoveryKey(strings.Join(k.Groups(), "-"))
		if err != nil || *again.bits != *k.bits {
			t.Fatal("what was parsed is not what is shown")
		}
	})
}

func FuzzParseWrap(f *testing.F) {
	for _, v := range seeds[wrapVector](f, "wraps.json") {
		f.Add([]byte(v.Wrap))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := ParseWrap(b)
		if err != nil {
			return
		}
		if again := must(json.Marshal(w)); !bytes.Equal(again, b) {
			t.Fatalf("accepted %q, which is written %q", b, again)
		}
		if w.Kind == KindPasskey {
			if _, err := UnwrapPasskey(w, AccountID{}, make([]byte, 32)); err == nil {
				t.Fatal("opened without the secret")
			}
		}
	})
}

func FuzzOpenOffer(f *testing.F) {
	for _, v := range seeds[offerVector](f, "offers.json") {
		f.Add(v.Offer, v.LinkSecret)
	}
	f.Fuzz(func(t *testing.T, offer []byte, link string) {
		if o, err := OpenOffer(offer, link); err == nil && len(o.Name) > maxName {
			t.Fatalf("name of %d bytes", len(o.Name))
		}
	})
}

func FuzzOpenRecord(f *testing.F) {
	for _, v := range seeds[recordVector](f, "records.json") {
		f.Add(v.Data, byte(v.Collection))
	}
	root := rootOf(bytes.Repeat([]byte{0x42}, 32))
	f.Fuzz(func(t *testing.T, data []byte, collection byte) {
		if len(data) < recordHeader {
			if _, _, err := openRecord(make([]byte, 32), AccountID{}, place{}, data); err == nil {
				t.Fatal("opened a stub")
			}
			return
		}
		account := AccountID(data[1:17])
		p := place{Collection(collection), RecordID(data[18:34]), VersionFromBytes([16]byte(data[34:50]))}
		_, body, err := openRecord(root.derive(account, "records"), account, p, data)
		if err == nil && len(body) > maxBody {
			t.Fatalf("body of %d bytes", len(body))
		}
	})
}

// FuzzRecordBody is about what only another device can have written, a broken or
// newer one: it must not break this one.
func FuzzRecordBody(f *testing.F) {
	for _, v := range seeds[recordVector](f, "records.json") {
		f.Add([]byte(v.Body), byte(v.Collection))
	}
	f.Add([]byte(`{"chat":"00000000000000000000000000000001","role":"user","text":"x","parent":"00000000000000000000000000000002"}`), byte(1))
	f.Add([]byte(`{"erase":["00000000000000000000000000000001"]}`), byte(3))
	root := rootOf(bytes.Repeat([]byte{0x42}, 32))
	f.Fuzz(func(t *testing.T, body []byte, collection byte) {
		c := Collection(collection)
		if !c.Valid() || len(body) > 1<<16 {
			return
		}
		account := AccountID{1}
		p := place{collection: c, id: RecordID{2}}
		data := must(sealRecord(root.derive(account, "records"), account, p, Head{}, body))
		r := NewReplica(root, account, DeviceID{})
		page := rechain(account, []Entry{{ID: p.id, Collection: c, Size: len(data), Data: data}})
		if err := r.Apply(page); err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Chats() {
			r.Messages(c.ID)
			r.Thread(c.ID, "")
			d, _ := r.Export(c.ID)
			d.Markdown()
		}
		r.Search("x", 5)
	})
}

func FuzzPage(f *testing.F) {
	for _, v := range seeds[feedVector](f, "feed.json") {
		for _, p := range v.Pages {
			f.Add([]byte(p))
		}
	}
	account := AccountID{}
	for i := range account {
		account[i] = byte(i)
	}
	root := rootOf(bytes.Repeat([]byte{0x42}, 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePage(b)
		if err != nil {
			return
		}
		r := NewReplica(root, account, DeviceID{})
		before := r.Head()
		if err := r.Apply(p); err != nil {
			if r.Head() != before || len(r.Chats()) != 0 {
				t.Fatal("a refused page changed something")
			}
			return
		}
		if r.Head().Seq > p.Head.Seq {
			t.Fatal("beyond the page's head")
		}
		r.Problems()
		// The same page again changes nothing; it is refused where it has nothing
		// new although the server says that there is.
		if err := r.Apply(p); err != nil && !(errors.Is(err, ErrHidden) && r.Head().Seq < p.Head.Seq) {
			t.Fatalf("the same page again: %v", err)
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add("Où est la bibliothèque, ΑΘΉΝΑ straße", "biblio")
	f.Add("a\u0300\u0301 b", "a b")
	f.Add("\xff\xfe İ", "i")
	f.Fuzz(func(t *testing.T, text, query string) {
		if len(text) > 1<<16 {
			return
		}
		_, words := foldQuery(query)
		s, ms := snippet(text, words)
		last := 0
		for _, m := range ms {
			if m[0] < last || m[1] < m[0] || m[1] > len(s) {
				t.Fatalf("marks %v in %q", ms, s)
			}
			last = m[1]
		}
		if folded, offsets := foldOffsets(text); folded != fold(text) || len(offsets) != len(folded)+1 {
			t.Fatalf("folds of %q differ", text)
		}
	})
}
