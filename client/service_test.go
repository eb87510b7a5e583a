// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
	"github.com/sotto-chat/sotto/test/testservice"
)

func ask(text string) client.ChatRequest {
	return client.ChatRequest{Model: "test", Messages: []client.ChatMessage{{Role: "user", Content: text}}}
}

// readAll reads the rest of an answer.
func readAll(s *client.ChatStream) (text, reasoning string, err error) {
	var t, r strings.Builder
	for {
		d, err := s.Next()
		if err == io.EOF {
			return t.String(), r.String(), nil
		}
		if err != nil {
			return t.String(), r.String(), err
		}
		t.WriteString(d.Text)
		r.WriteString(d.Reasoning)
	}
}

// numbers is what "count n" answers.
func numbers(n int) string {
	var words []string
	for i := range n {
		words = append(words, fmt.Sprint(i+1))
	}
	return strings.Join(words, " ")
}

func newClient(t *testing.T, s *testservice.Service, cfg client.Config) *client.Client {
	c := s.NewClient(cfg)
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func TestVerifyAndChat(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 2})
	c := newClient(t, s, client.Config{})
	if st := c.Status(); st.State != client.StateChecking {
		t.Errorf("state before the first check: %s", st.State)
	}
	verdicts, err := c.Verify(t.Context())
	if err != nil || len(verdicts) != 2 {
		t.Fatalf("Verify: %d verdicts, %v", len(verdicts), err)
	}
	if st := c.Status(); st.State != client.StateDemo || st.Line != "Demo hardware — not private" || !st.State.MaySend() {
		t.Errorf("status %+v", st)
	}
	stream, err := c.Chat(t.Context(), ask("say hello there"), client.Options{Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	text, _, err := readAll(stream)
	if text != "hello there" || err != nil {
		t.Errorf("answer %q, %v", text, err)
	}
	if stream.FinishReason != "stop" || stream.Model != "test" || stream.Usage == nil || stream.Usage.CompletionTokens != 2 {
		t.Errorf("end of stream: %+v, usage %+v", stream, stream.Usage)
	}
	r := stream.Receipt
	if r.State != "demo" || r.Platform != "software" || r.Release != "none" || len(r.Node) != 32 || len(r.KeyID) != 32 ||
		r.Time < time.Now().Unix()-60 || r.NotAfter <= r.Time {
		t.Errorf("receipt %+v", r)
	}
}

func TestReasoningAndWholeAnswers(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	c := newClient(t, s, client.Config{})
	for question, want := range map[string][2]string{
		"think": {"done", "let me see"},
		"plain": {"in one piece", ""},
	} {
		stream, err := c.Chat(t.Context(), ask(question), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		text, reasoning, err := readAll(stream)
		stream.Close()
		if text != want[0] || reasoning != want[1] || err != nil {
			t.Errorf("%s: %q, %q, %v", question, text, reasoning, err)
		}
	}
}

// countingTransport counts sealed messages and keeps the last.
type countingTransport struct {
	client.Transport
	sealed, lists atomic.Int64
	last          atomic.Pointer[[]byte]
}

func (c *countingTransport) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	if r.Method == "POST" {
		c.sealed.Add(1)
		c.last.Store(&r.Body)
	} else {
		c.lists.Add(1)
	}
	return c.Transport.RoundTrip(ctx, r)
}

func TestNothingIsSentToAMachineThatDidNotPass(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	for name, cfg := range map[string]client.Config{
		"software refused":  {Platforms: []attest.Platform{software.Platform{}}},
		"platform unknown":  {Platforms: []attest.Platform{otherPlatform{}}, Policy: attest.Policy{AllowSoftware: true}},
		"release not known": {Platforms: []attest.Platform{software.Platform{}}, Policy: attest.Policy{AllowSoftware: true, Releases: []string{"sha256:" + strings.Repeat("0", 64)}}},
	} {
		tr := &countingTransport{Transport: nethttp.New(s.URL)}
		cfg.Transport = tr
		c := newClient(t, s, cfg)
		_, err := c.Chat(t.Context(), ask("say secret"), client.Options{})
		var nv *client.NotVerifiedError
		if !errors.As(err, &nv) || len(nv.Verdicts) != 1 {
			t.Errorf("%s: error %v", name, err)
		}
		if n := tr.sealed.Load(); n != 0 || s.Upstream.Requests.Load() != 0 {
			t.Errorf("%s: %d messages were sent", name, n)
		}
		if st := c.Status(); st.State.MaySend() || st.Err == nil {
			t.Errorf("%s: state %s, error %v", name, st.State, st.Err)
		}
	}
}

type otherPlatform struct{ software.Platform }

func (otherPlatform) Name() string { return "other" }

func TestSealsToRandomVerifiedNodes(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 5})
	tr := &countingTransport{Transport: nethttp.New(s.URL)}
	c := newClient(t, s, client.Config{Transport: tr, Recipients: 2})
	seen := make(map[[16]byte]bool)
	for range 30 {
		stream, err := c.Chat(t.Context(), ask("say hi"), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		stream.Close()
		sent, err := envelope.Parse(*tr.last.Load())
		if err != nil || len(sent.Recipients) != 2 {
			t.Fatalf("%+v, %v", sent, err)
		}
		for _, id := range sent.Recipients {
			seen[id] = true
		}
	}
	if len(seen) != 5 { // fails by chance once in 10^6 runs
		t.Errorf("30 messages went to %d of 5 nodes", len(seen))
	}
}

func TestModels(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 2})
	c := newClient(t, s, client.Config{})
	b, err := c.Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Object string
		Data   []struct{ ID string }
	}
	if json.Unmarshal(b, &list) != nil || list.Object != "list" || len(list.Data) != 2 || list.Data[1].ID != "test/other" {
		t.Errorf("models %s", b)
	}
}

func TestErrorsOfTheModelServer(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	c := newClient(t, s, client.Config{})
	_, err := c.Chat(t.Context(), ask("too long"), client.Options{})
	var api *client.APIError
	if !errors.As(err, &api) || api.Status != 400 || api.Code != "context_length_exceeded" || api.Message == "" {
		t.Errorf("too long: %+v", err)
	}
	_, err = c.Chat(t.Context(), client.ChatRequest{Model: "absent", Messages: ask("x").Messages}, client.Options{})
	if !errors.As(err, &api) || api.Status != 404 || api.Code != "model_not_found" {
		t.Errorf("absent model: %+v", err)
	}
	stream, err := c.Chat(t.Context(), ask("break off"), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	text, _, err := readAll(stream)
	if text != "only this" || !errors.As(err, &api) || api.Status != 0 || client.Explain(err).Text == "" {
		t.Errorf("break off: %q, %v", text, err)
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestStoppingStopsTheEngine(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	c := newClient(t, s, client.Config{})
	stops := map[string]func(cancel context.CancelFunc, s *client.ChatStream){
		"context ends": func(cancel context.CancelFunc, _ *client.ChatStream) { cancel() },
		"body closed":  func(_ context.CancelFunc, s *client.ChatStream) { s.Close() },
	}
	for name, stop := range stops {
		for _, resume := range []bool{false, true} {
			before := s.Upstream.Cancelled.Load()
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := c.Chat(ctx, ask("slow"), client.Options{Resume: resume})
			if err != nil {
				t.Fatal(err)
			}
			if d, err := stream.Next(); err != nil || !strings.HasPrefix(d.Text, "word0") {
				t.Fatalf("first words %q, %v", d.Text, err)
			}
			stop(cancel, stream)
			eventually(t, fmt.Sprintf("%s, resume %t: the engine stops", name, resume),
				func() bool { return s.Upstream.Cancelled.Load() == before+1 })
			if _, _, err := readAll(stream); err == nil {
				t.Errorf("%s: the rest reads like a complete answer", name)
			}
			cancel()
			stream.Close()
		}
	}
}

func TestStoppingBeforeTheFirstByte(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 3})
	c := newClient(t, s, client.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for s.Upstream.Requests.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := c.Chat(ctx, ask("wait"), client.Options{Resume: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	eventually(t, "the engine stops", func() bool { return s.Upstream.Cancelled.Load() == 1 })
}

// cuttingTransport loses the connection of sealed answers after some bytes.
type cuttingTransport struct {
	client.Transport
	cuts []int64 // bytes, one for each of the first answers
	n    int
}

func (c *cuttingTransport) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	resp, err := c.Transport.RoundTrip(ctx, r)
	if err != nil || r.Method != "POST" {
		return resp, err
	}
	if c.n < len(c.cuts) {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, c.cuts[c.n]), resp.Body}
	}
	c.n++
	return resp, nil
}

func TestAnswerGoesOnAfterLostConnections(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	tr := &cuttingTransport{Transport: nethttp.New(s.URL), cuts: []int64{0, 10, 35, 35 + 1024, 4000, 500, 3*1024 + 35, 36}}
	c := newClient(t, s, client.Config{Transport: tr})
	stream, err := c.Chat(t.Context(), ask("count 3000"), client.Options{Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	text, _, err := readAll(stream)
	if text != numbers(3000) || err != nil {
		t.Errorf("the answer came out different: %d bytes, %v", len(text), err)
	}
	if tr.n != len(tr.cuts)+1 {
		t.Errorf("%d connections, want %d", tr.n, len(tr.cuts)+1)
	}
	if got := s.Upstream.Requests.Load(); got != 1 {
		t.Errorf("the engine was asked %d times", got)
	}
}

func TestConnectionLostBeforeTheFirstByte(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 3})
	c := newClient(t, s, client.Config{})
	go func() {
		for s.Upstream.Requests.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		s.DropConnections()
		time.Sleep(100 * time.Millisecond)
		close(s.Upstream.Hold)
	}()
	stream, err := c.Chat(t.Context(), ask("wait"), client.Options{Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if text, _, err := readAll(stream); text != "waited" || err != nil {
		t.Errorf("answer %q, %v", text, err)
	}
	if got := s.Upstream.Requests.Load(); got != 1 {
		t.Errorf("the engine was asked %d times", got)
	}
}

func TestPendingAnswerInAnotherProcess(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 3})
	first := newClient(t, s, client.Config{})
	var kept [][]byte
	stream, err := first.Chat(t.Context(), ask("count 500"), client.Options{Resume: true, OnPending: func(p client.Pending) {
		b, err := p.MarshalBinary()
		if err != nil {
			t.Error(err)
		}
		kept = append(kept, b)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != 2 {
		t.Fatalf("OnPending was called %d times, want before sending and with the first byte", len(kept))
	}
	stream.Next()
	s.DropConnections() // the page is reloaded

	for i, b := range kept {
		second := newClient(t, s, client.Config{})
		var p client.Pending
		if err := p.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		a, err := second.Resume(t.Context(), p)
		if err != nil {
			t.Fatalf("pending %d: %v", i, err)
		}
		again, err := client.ReadChat(a)
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := readAll(again)
		if text != numbers(500) || err != nil {
			t.Errorf("pending %d: %d bytes, %v", i, len(text), err)
		}
		if again.Receipt.Node != stream.Receipt.Node {
			t.Errorf("pending %d: receipt %+v", i, again.Receipt)
		}
		again.Close()
	}
}

func TestResumingWhatIsGone(t *testing.T) {
	s := testservice.Start(t, testservice.Options{})
	other := testservice.Start(t, testservice.Options{})
	var pending client.Pending
	c := newClient(t, s, client.Config{})
	stream, err := c.Chat(t.Context(), ask("say hi"), client.Options{Resume: true, OnPending: func(p client.Pending) { pending = p }})
	if err != nil {
		t.Fatal(err)
	}
	stream.Close()
	// Another service has no such node: as after a restart.
	_, err = newClient(t, other, client.Config{}).Resume(t.Context(), pending)
	if !errors.Is(err, client.ErrGone) {
		t.Errorf("error %v", err)
	}
}

func TestFreshKeysWhenTheNodeHasReplacedThem(t *testing.T) {
	gone := testservice.Start(t, testservice.Options{})
	s := testservice.Start(t, testservice.Options{})
	old := fetchList(t, gone)
	tr := &staleList{Transport: nethttp.New(s.URL), list: old, times: 1}
	c := newClient(t, s, client.Config{Transport: tr})
	if _, err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, err := c.Chat(t.Context(), ask("say hi"), client.Options{})
	if err != nil {
		t.Fatalf("with a stale list at first: %v", err)
	}
	stream.Close()

	// A list that stays stale is tried twice and no more.
	tr = &staleList{Transport: nethttp.New(s.URL), list: old, times: 100}
	c = newClient(t, s, client.Config{Transport: tr})
	_, err = c.Chat(t.Context(), ask("say hi"), client.Options{})
	var se *client.ServiceError
	if !errors.As(err, &se) || client.Explain(err).Hint == "" {
		t.Errorf("error %v", err)
	}
	if n := tr.posts.Load(); n != 2 {
		t.Errorf("%d messages were sent, want 2", n)
	}
}

func fetchList(t *testing.T, s *testservice.Service) []byte {
	resp, err := nethttp.New(s.URL).RoundTrip(t.Context(), &client.Request{Method: "GET", Path: "/sotto/v1/nodes"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// staleList answers with an old node list a number of times.
type staleList struct {
	client.Transport
	list  []byte
	times int
	posts atomic.Int64
}

func (s *staleList) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	if r.Path == "/sotto/v1/nodes" && s.times > 0 {
		s.times--
		return &client.Response{Status: 200, ContentType: "application/json", Body: io.NopCloser(bytes.NewReader(s.list))}, nil
	}
	if r.Method == "POST" {
		s.posts.Add(1)
	}
	return s.Transport.RoundTrip(ctx, r)
}

func TestADeadNodeIsNotAnError(t *testing.T) {
	s := testservice.Start(t, testservice.Options{Nodes: 3})
	c := newClient(t, s, client.Config{})
	if _, err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.StopNode(0)
	s.StopNode(1)
	for range 5 {
		stream, err := c.Chat(t.Context(), ask("say hi"), client.Options{Resume: true})
		if err != nil {
			t.Fatal(err)
		}
		if text, _, err := readAll(stream); text != "hi" || err != nil {
			t.Errorf("answer %q, %v", text, err)
		}
		stream.Close()
	}
}

func TestUnreachable(t *testing.T) {
	c := client.New(client.Config{Transport: nethttp.New("http://127.0.0.1:1")})
	defer c.CloseNow()
	_, err := c.Do(t.Context(), &bhttp.Request{Method: "GET", Path: "/v1/models"}, client.Options{})
	if !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("error %v", err)
	}
	if st := c.Status(); st.State != client.StateUnknown || st.State.MaySend() {
		t.Errorf("state %s", st.State)
	}
}
