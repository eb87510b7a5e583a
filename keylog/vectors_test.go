// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/keylogtest"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectorFile = "../spec/vectors/keylog.json"

// vector is a view of a key log, opened with a pin, and a day that is asked for.
type vector struct {
	Name  string     `json:"name"`
	Pin   keylog.Pin `json:"pin"`
	Now   int64      `json:"now"`
	View  string     `json:"view"`
	Open  string     `json:"open"` // failure of opening it, "" for none
	Day   string     `json:"day"`
	Found string     `json:"found"` // failure of finding the day, "" for none
	Issue string     `json:"issue"` // the day's key, in base64
	Size  int64      `json:"size"`  // of the node list, -1 for none
}

func vectors() (vs []vector) {
	add := func(name, open, found string, from int, make func(w *keylogtest.World)) {
		w := keylogtest.New("vectors")
		w.Days(today-1, today)
		issue, size := "", int64(-1)
		if open == "" && found == "" {
			issue = base64.StdEncoding.EncodeToString(w.DayOf(today).Issue)
		}
		make(w)
		if keys, err := w.Pin.Open(w.ViewFrom(from), nil, now); err == nil {
			if n, ok := keys.Nodes(); ok {
				size = n.Size
			}
		}
		vs = append(vs, vector{name, w.Pin, keylogtest.Now, string(w.ViewFrom(from)), open, today.String(), found, issue, size})
	}
	other := func(w *keylogtest.World, change func(*keylog.Statement)) {
		s := w.DayOf(today)
		s.Issue = keylogtest.SPKI("other")
		change(&s)
		w.Publish(s)
	}
	add("good", "", "", 0, func(w *keylogtest.World) { w.Publish(w.NodesOf(keylogtest.IDs(5))) })
	add("two-keys-for-one-day", keylog.FailDuplicate, "", 0, func(w *keylogtest.World) { other(w, func(*keylog.Statement) {}) })
	add("starts-too-late", "", keylog.FailMissing, 1, func(w *keylogtest.World) {})
	add("no-key", "", keylog.FailMissing, 2, func(w *keylogtest.World) { w.Publish(w.NodesOf(keylogtest.IDs(2))) })
	add("other-product", "", "", 0, func(w *keylogtest.World) { other(w, func(s *keylog.Statement) { s.Product = "other" }) })
	add("other-place", "", "", 0, func(w *keylogtest.World) { other(w, func(s *keylog.Statement) { s.Index = 9 }) })
	add("one-key-for-two-days", keylog.FailDuplicate, "", 0, func(w *keylogtest.World) {
		other(w, func(s *keylog.Statement) { s.Day, s.Time, s.Issue = today+1, keylogtest.Now, w.DayOf(today).Issue })
	})
	return vs
}

func TestVectors(t *testing.T) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(vectors()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(vectorFile)
	if err != nil || !bytes.Equal(kept, b.Bytes()) {
		t.Fatalf("the vectors are others than the code makes (go test ./keylog -update): %v", err)
	}
	var vs []vector
	if err := json.Unmarshal(kept, &vs); err != nil {
		t.Fatal(err)
	}
	for _, v := range vs {
		name := func(err error) string {
			var e *tlog.Error
			errors.As(err, &e)
			if e == nil {
				return ""
			}
			return e.Failure
		}
		keys, err := v.Pin.Open([]byte(v.View), nil, time.Unix(v.Now, 0))
		if name(err) != v.Open {
			t.Errorf("%s: %v", v.Name, err)
		}
		if err != nil {
			continue
		}
		d, err := token.ParseDay(v.Day)
		if err != nil {
			t.Fatal(err)
		}
		day, err := keys.Day(d)
		if name(err) != v.Found || base64.StdEncoding.EncodeToString(day.Issue) != v.Issue {
			t.Errorf("%s: %v", v.Name, err)
		}
		if n, ok := keys.Nodes(); ok != (v.Size >= 0) || ok && n.Size != v.Size {
			t.Errorf("%s: %+v", v.Name, n)
		}
	}
}
