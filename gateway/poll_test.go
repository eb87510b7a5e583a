// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// The list is what the nodes said, byte for byte.
func TestListIsPassedOn(t *testing.T) {
	w := newWorld(t, nil, &talker{}, &talker{})
	want := map[string]bool{}
	for _, n := range w.nodes {
		res, err := http.Get(n.URL + "/sotto/v1/evidence")
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Bundles []string }
		if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		want[doc.Bundles[0]] = true
	}
	res, err := http.Get(w.url + "/sotto/v1/nodes")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc struct{ Nodes []struct{ Bundles []string } }
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || len(doc.Nodes) != 2 {
		t.Fatal(err, len(doc.Nodes))
	}
	for _, n := range doc.Nodes {
		if !want[n.Bundles[0]] {
			t.Error("a bundle was changed")
		}
	}
}

// A node that has just made a key is asked for it before a request is refused.
func TestNewKeyIsFound(t *testing.T) {
	w := newWorld(t, nil, &talker{words: 1})
	keys := w.keys(t)
	w.gateway.nodes[0].mu.Lock()
	w.gateway.nodes[0].keys = nil
	w.gateway.nodes[0].mu.Unlock()
	w.gateway.polled = time.Time{}
	msg, ex := request(t, keys, "/v1/chat/completions", `{"stream":true}`)
	read(t, ex, w.post(t, msg).Body)
}

// What nodes say is bounded and checked before anything is believed of it.
func TestBadNodes(t *testing.T) {
	config := func(node string) string {
		return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"node":%q}`, node))
	}
	bundle := func(node string) string {
		return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"key_config":%q}`, config(node)))
	}
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	for name, doc := range map[string]string{
		"empty":              "",
		"no bundles":         `{"v":1,"bundles":[]}`,
		"other version":      `{"v":2,"bundles":["` + bundle(a) + `"]}`,
		"not base64":         `{"v":1,"bundles":["%%%"]}`,
		"not a bundle":       `{"v":1,"bundles":["AAAA"]}`,
		"no node id":         `{"v":1,"bundles":["` + bundle("") + `"]}`,
		"node id with a tag": `{"v":1,"bundles":["` + bundle("<script>aaaaaaaaaaaaaaaaaaaaaaaa") + `"]}`,
		"two nodes":          `{"v":1,"bundles":["` + bundle(a) + `","` + bundle(b) + `"]}`,
		"too many":           `{"v":1,"bundles":["` + strings.Repeat(bundle(a)+`","`, 4) + bundle(a) + `"]}`,
	} {
		if _, _, _, err := parseEvidence([]byte(doc)); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
	if _, keys, id, err := parseEvidence([]byte(`{"v":1,"bundles":["` + bundle(a) + `"]}`)); err != nil || id != a || len(keys) != 1 {
		t.Errorf("a good one: %v", err)
	}
	// A node's answer of another kind is not passed on.
	var asked atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			fmt.Fprintf(w, `{"v":1,"bundles":[%q]}`, bundle(a))
			return
		}
		w.Header().Set("Set-Cookie", "evil=1")
		if asked.Add(1) == 1 {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<script>")
			return
		}
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, `{"error":{"code":"evil","message":"<script>"}}`)
	}))
	defer evil.Close()
	g, err := New(Config{Nodes: []string{evil.URL}})
	if err != nil {
		t.Fatal(err)
	}
	g.poll(t.Context())
	private, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	msg, _ := request(t, []seal.Recipient{{ID: keyIDOf([]byte(`{"node":"` + a + `"}`)), PublicKey: private.PublicKey()}}, "/", "")
	for range 2 {
		r := httptest.NewRequest("POST", "/sotto/v1/seal", bytes.NewReader(msg))
		r.Header.Set("Content-Type", envelope.RequestType)
		rec := httptest.NewRecorder()
		g.Handler().ServeHTTP(rec, r)
		if rec.Code != 502 || strings.Contains(rec.Body.String(), "script") || rec.Header().Get("Set-Cookie") != "" {
			t.Errorf("%d %s", rec.Code, rec.Body.String())
		}
	}
}

func TestRunPolls(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.PollEvery = 5 * time.Millisecond }, &talker{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.gateway.Run(ctx) }()
	w.nodes[0].Close()
	for deadline := time.Now().Add(10 * time.Second); w.gateway.anyAlive(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a dead node stays alive")
		}
	}
	rec := httptest.NewRecorder()
	w.gateway.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/readyz", nil))
	if rec.Code != 503 {
		t.Errorf("ready without a node: %d", rec.Code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzParseEvidence(f *testing.F) {
	f.Add([]byte(`{"v":1,"bundles":["eyJrZXlfY29uZmlnIjoiZXlKdWIyUmxJam9pWVdGaFlXRmhZV0ZoWVdGaFlXRmhZV0ZoWVdGaFlXRmhZV0ZoWVdFaWZRPT0ifQ=="]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		bundles, keys, id, err := parseEvidence(doc)
		if err == nil && (len(bundles) != len(keys) || !nodeID(id)) {
			t.Fatal("half believed")
		}
	})
}
