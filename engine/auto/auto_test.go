// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package auto

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/engine"
)

// fake stands for the runner of package builtin.
type fake struct {
	engine.Engine
	file string
}

func (f *fake) Name() string { return "fake " + f.file }
func (f *fake) Close() error { return nil }

func fakeBuiltin(_ context.Context, file string) (engine.Engine, error) {
	return &fake{file: file}, nil
}

// childOf stands for package llamaserver, noChild for it where no program is.
func childOf(name string) func(context.Context, Options) (engine.Engine, error) {
	return func(context.Context, Options) (engine.Engine, error) { return &fake{file: name}, nil }
}

func noChild(context.Context, Options) (engine.Engine, error) { return nil, nil }

// place starts a server for detect to find, and returns its probe.
func place(t *testing.T, name string, h http.HandlerFunc) Probe {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return Probe{name, s.URL}
}

func models(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	}
}

const oneModel = `{"object":"list","data":[{"id":"m"}]}`

func TestDetect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	nobody := Probe{"nobody", "http://" + l.Addr().String()}
	slow := place(t, "slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	late := place(t, "late", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(100 * time.Millisecond)
		models(oneModel)(w, r)
	})
	page := place(t, "page", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>hello") })
	locked := place(t, "locked", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) })
	empty := place(t, "empty", models(`{"object":"list","data":null}`))
	ourselves := place(t, "ourselves", models(`{"object":"list","data":[{"id":"x","owned_by":"sotto"}]}`))
	ourProxy := place(t, "our proxy", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sotto-Verdict", "demo")
		models(oneModel)(w, r)
	})
	a, b := place(t, "A", models(oneModel)), place(t, "B", models(oneModel))
	for _, c := range []struct {
		probes []Probe
		want   string // beginning of the engine's name
	}{
		{[]Probe{a, b}, "A at http://127.0.0.1:"},
		{[]Probe{b, a}, "B at"},
		{[]Probe{late, a}, "late at"}, // order counts, not speed
		{[]Probe{nobody, slow, page, locked, empty, ourselves, ourProxy, b}, "B at"},
		{[]Probe{nobody, slow, page, locked, empty, ourselves, ourProxy}, "fake "},
		{[]Probe{}, "fake "},
	} {
		e, err := Open(context.Background(), Options{Probe: c.probes, ProbeTimeout: time.Second, Builtin: fakeBuiltin})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.Name(), c.want) {
			t.Errorf("found %q, want %q", e.Name(), c.want)
		}
		e.Close()
	}
}

// TestDetectTellsNothing: the search sends one GET, without a key or a body.
func TestDetectTellsNothing(t *testing.T) {
	p := place(t, "A", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method != "GET" || r.URL.String() != "/v1/models" || len(b) > 0 || r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s %q %v", r.Method, r.URL, b, r.Header)
		}
	})
	if e := detect(context.Background(), Options{Options: engine.Options{APIKey: "secret"}, Probe: []Probe{p}, Logger: slog.New(slog.DiscardHandler)}); e != nil {
		t.Error("an empty page passed for a model server")
	}
}

func TestOpenChoices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(file, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	here := place(t, "A", models(oneModel))
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"auto with a file", Options{ModelFile: file, Probe: []Probe{}}, "fake " + file},
		{"auto with a file and a child", Options{ModelFile: file, Probe: []Probe{}, Child: childOf("llama")}, "fake llama"},
		{"auto with a file and no child", Options{ModelFile: file, Probe: []Probe{}, Child: noChild}, "fake " + file},
		{"a server by another name", Options{Options: engine.Options{Spec: "http://127.0.0.1:1", Name: "mine"}}, "mine"},
		{"a server comes before a file", Options{ModelFile: file, Probe: []Probe{here}}, "A at"},
		{"builtin", Options{Options: engine.Options{Spec: "builtin"}, Probe: []Probe{here}}, "fake "},
		{"builtin with a file", Options{Options: engine.Options{Spec: "builtin"}, ModelFile: file}, "fake " + file},
		{"URL", Options{Options: engine.Options{Spec: "http://127.0.0.1:1/v1"}}, "model server at http://127.0.0.1:1"},
	} {
		c.o.Builtin = fakeBuiltin
		c.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		e, err := Open(context.Background(), c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !strings.HasPrefix(e.Name(), c.want) {
			t.Errorf("%s: %q", c.name, e.Name())
		}
		e.Close()
	}
	if !strings.Contains(log.String(), "the model file isn't used") {
		t.Error("a model file was passed over without a word")
	}
	for name, o := range map[string]Options{
		"nonsense":      {Options: engine.Options{Spec: "ollama"}},
		"URL and file":  {Options: engine.Options{Spec: "http://127.0.0.1:1"}, ModelFile: file},
		"no builtin":    {Options: engine.Options{Spec: "builtin"}},
		"auto, nothing": {Probe: []Probe{}},
		"a failing child": {ModelFile: file, Builtin: fakeBuiltin, Probe: []Probe{},
			Child: func(context.Context, Options) (engine.Engine, error) { return nil, errors.New("no good") }},
	} {
		if e, err := Open(context.Background(), o); err == nil {
			t.Errorf("%s: opened %s", name, e.Name())
		}
	}
}

func TestBuiltinErrorNamesTheFile(t *testing.T) {
	_, err := Open(context.Background(), Options{Options: engine.Options{Spec: "builtin"}, ModelFile: "x.gguf", Builtin: func(context.Context, string) (engine.Engine, error) { return nil, errors.New("no good") }})
	if err == nil || !strings.Contains(err.Error(), "x.gguf") {
		t.Error(err)
	}
}
