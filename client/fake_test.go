// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// fakeService is a Transport with a node behind it, all in memory and without
// a goroutine of its own, so that time can be virtual. Tests set what is to go
// wrong. It has one node whose key it makes anew at every look at the list.
type fakeService struct {
	t        *testing.T
	lifetime time.Duration

	logMu sync.Mutex
	logs  []string // looks at the public log, with what they asked for

	mu    sync.Mutex
	keys  map[seal.KeyID]*seal.PrivateKey
	lists int      // looks at the node list
	seals int      // sealed requests
	paths []string // inside the sealed requests

	releases map[string]string // by node; "none" by default
	weights  string            // digest of the model; "none" by default
	anchor   []byte            // checkpoint that keys name; none by default
	shown    []byte            // for tests: the bundle in the list

	// list, if set, replaces the node list.
	list func() (*Response, error)
	// view, if set, is the public log; by default there is none.
	view func() (*Response, error)
	// answer makes the sealed answer to an opened request; sealed by default.
	answer func(n int, o *seal.Opened, req *bhttp.Request) (*Response, error)
}

const fakeNode = "000102030405060708090a0b0c0d0e0f"

func newFake(t *testing.T) *fakeService {
	return &fakeService{t: t, lifetime: 15 * time.Minute, keys: make(map[seal.KeyID]*seal.PrivateKey)}
}

func (f *fakeService) client(cfg Config) *Client {
	cfg.Transport = f
	if cfg.Platforms == nil {
		cfg.Platforms = []attest.Platform{software.Platform{}}
		cfg.Policy.AllowSoftware = true
	}
	c := New(cfg)
	f.t.Cleanup(func() { c.CloseNow() })
	return c
}

func (f *fakeService) RoundTrip(ctx context.Context, r *Request) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if path, _, _ := strings.Cut(r.Path, "?"); path == pathLog {
		f.logMu.Lock() // not mu, which is held while a list is waited for
		f.logs = append(f.logs, r.Path)
		f.logMu.Unlock()
		if f.view != nil {
			return f.view()
		}
		return reply(404, "application/json", []byte(`{"error":{"code":"not_found","message":"none"}}`)), nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Path == pathNodes {
		f.lists++
		if f.list != nil {
			return f.list()
		}
		return reply(200, "application/json", f.nodeList(f.bundle(fakeNode))), nil
	}
	f.seals++
	o, err := seal.OpenRequest(bytes.NewReader(r.Body), func(id seal.KeyID) *seal.PrivateKey { return f.keys[id] })
	if err != nil {
		return reply(409, "application/json", []byte(`{"error":{"code":"key_unknown","message":"gone"}}`)), nil
	}
	req, err := bhttp.ParseRequest(o.Plaintext())
	if err != nil {
		f.t.Errorf("inside a sealed request: %v", err)
	}
	f.paths = append(f.paths, req.Path)
	if f.answer != nil {
		return f.answer(f.seals, o, req)
	}
	return reply(200, envelope.AnswerType, sealed(o, "hello")), nil
}

func (f *fakeService) counts() (lists, seals int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lists, f.seals
}

// bundle makes a key and the evidence for it.
func (f *fakeService) bundle(node string) []byte {
	private, err := seal.GenerateKey()
	if err != nil {
		f.t.Fatal(err)
	}
	config, err := attest.KeyConfig{
		V: 1, Node: node, Suite: attest.Suite, PublicKey: private.PublicKey(),
		NotBefore: time.Now().Unix(), NotAfter: time.Now().Add(f.lifetime).Unix(),
		Release: cmp.Or(f.releases[node], "none"), Models: []attest.Model{{ID: "test", Digest: cmp.Or(f.weights, "none")}},
		Anchor: attest.Anchor(f.anchor),
	}.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	f.keys[attest.KeyID(config)] = private
	evidence, err := forge.Evidence(attest.ReportData(config))
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := attest.Bundle{V: 1, KeyConfig: config, Evidence: evidence, Checkpoint: f.anchor}.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fakeService) nodeList(bundles ...[]byte) []byte {
	b, err := json.Marshal(map[string]any{"v": 1, "nodes": []any{map[string]any{"id": fakeNode, "bundles": bundles}}})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func reply(status int, contentType string, body []byte) *Response {
	return &Response{Status: status, ContentType: contentType, Body: io.NopCloser(bytes.NewReader(body))}
}

// records seals text as a plain answer, some bytes a record, so that tests can
// cut and mix records; records[0] is the header.
func records(o *seal.Opened, text string, perRecord int) [][]byte {
	a, err := o.NewAnswer(seal.ClassStream)
	if err != nil {
		panic(err)
	}
	content := bhttp.AppendResponseHead(nil, 200, []bhttp.Field{{Name: "content-type", Value: "text/plain"}})
	content = bhttp.AppendEnd(bhttp.AppendChunk(content, []byte(text)))
	out := [][]byte{a.Header()}
	n := 0
	for len(content) > 0 {
		take := min(perRecord, len(content))
		out = append(out, a.AppendRecord(nil, content[:take], take == len(content), false))
		content = content[take:]
		n++
	}
	for total := seal.TailRecords(n); n < total; n++ {
		out = append(out, a.AppendRecord(nil, nil, true, n == total-1))
	}
	return out
}

func sealed(o *seal.Opened, text string) []byte {
	return bytes.Join(records(o, text, 200), nil)
}

// refused seals a short error answer.
func refused(o *seal.Opened, status int) []byte {
	a, err := o.NewAnswer(seal.ClassBulk)
	if err != nil {
		panic(err)
	}
	content := bhttp.AppendEnd(bhttp.AppendResponseHead(nil, status, nil))
	return append(a.Header(), a.AppendRecord(nil, content, true, true)...)
}

// lostAfter is a body that gives b and then loses its connection.
func lostAfter(b []byte) io.ReadCloser {
	return io.NopCloser(io.MultiReader(bytes.NewReader(b), lost{}))
}

type lost struct{}

func (lost) Read([]byte) (int, error) { return 0, fmt.Errorf("connection reset by peer") }

// hangsAfter is a body that gives b and then nothing, until it is closed.
func hangsAfter(b []byte) io.ReadCloser {
	h := &hanging{r: bytes.NewReader(b), closed: make(chan struct{})}
	return h
}

type hanging struct {
	r      *bytes.Reader
	closed chan struct{}
	once   sync.Once
}

func (h *hanging) Read(p []byte) (int, error) {
	if h.r.Len() > 0 {
		return h.r.Read(p)
	}
	<-h.closed
	return 0, fmt.Errorf("body closed")
}

func (h *hanging) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// get asks for something and reads all that comes.
func get(t *testing.T, c *Client, o Options) (string, error) {
	t.Helper()
	a, err := c.Do(t.Context(), &bhttp.Request{Method: "POST", Path: "/v1/chat/completions", Body: []byte(`{"model":"test"}`)}, o)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return string(b), err
}

// long is an answer of several records.
var long = strings.Repeat("all of this is the answer. ", 100)
