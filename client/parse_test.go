// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

func events(r io.Reader) (out []string, err error) {
	e := NewEventReader(r)
	for {
		data, err := e.Next()
		if err != nil {
			return out, err
		}
		out = append(out, string(data))
	}
}

func TestEventReader(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
		err  error
	}{
		{"data: one\n\ndata: two\n\n", []string{"one", "two"}, io.EOF},
		{"data:one\r\n\r\ndata: two\r\n\r\n", []string{"one", "two"}, io.EOF},
		{"data: a\ndata: b\n\n", []string{"a\nb"}, io.EOF},
		{": keep-alive\n\nevent: x\nid: 7\ndata: one\n\n\n\n", []string{"one"}, io.EOF},
		{"data\n\n", []string{""}, io.EOF},
		{"database: no\n\n", nil, io.EOF},
		{"data:  two spaces\n\n", []string{" two spaces"}, io.EOF},
		{"data: one\n\ndata: tw", []string{"one"}, io.ErrUnexpectedEOF},
		{"data: one\n", nil, io.ErrUnexpectedEOF},
		{"", nil, io.EOF},
		{"data: " + strings.Repeat("x", 100_000) + "\n\n", []string{strings.Repeat("x", 100_000)}, io.EOF},
		{"data: " + strings.Repeat("x", maxEvent) + "\n\n", nil, ErrEventStream},
		{strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxEvent/1000), nil, ErrEventStream},
	} {
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(tt.in), "by bytes": iotest.OneByteReader(strings.NewReader(tt.in)),
		} {
			got, err := events(r)
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("%s, %.30q: %.60q, %v; want %.60q, %v", name, tt.in, got, err, tt.want, tt.err)
			}
		}
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add([]byte("data: {}\n\ndata: [DONE]\n\n"))
	f.Add([]byte(": c\r\ndata\r\ndata:x\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := events(bytes.NewReader(b))
		parts, err2 := events(iotest.OneByteReader(bytes.NewReader(b)))
		if fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", parts) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("the outcome depends on how the bytes come")
		}
		for _, e := range whole {
			if len(e) > len(b) {
				t.Errorf("an event of %d bytes from %d", len(e), len(b))
			}
		}
	})
}

// chatOf reads body as a chat answer of the given type.
func chatOf(contentType, body string) (text string, s *ChatStream, err error) {
	s, err = ReadChat(&Answer{Status: 200, Header: []bhttp.Field{{Name: "content-type", Value: contentType}},
		Body: io.NopCloser(strings.NewReader(body))})
	if err != nil {
		return "", nil, err
	}
	for {
		d, err := s.Next()
		if err != nil {
			return text, s, err
		}
		text += d.Text
	}
}

func TestChatStream(t *testing.T) {
	const (
		hi   = `data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}` + "\n\n"
		stop = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		done = "data: [DONE]\n\n"
	)
	var api *APIError
	for _, tt := range []struct {
		name, in, text string
		err            error
	}{
		{"as it should be", hi + stop + done, "hi", io.EOF},
		{"without the last word", hi + stop, "hi", io.EOF},
		{"only the last word", done, "", io.EOF},
		{"cut between events", hi, "hi", ErrCut},
		{"cut in an event", hi + "data: {", "hi", ErrCut},
		{"cut before anything", "", "", ErrCut},
		{"not JSON", hi + "data: oops\n\n", "hi", ErrEventStream},
		{"an array", hi + "data: []\n\n", "hi", ErrEventStream},
		{"another choice", `data: {"choices":[{"index":1,"delta":{"content":"no"}}]}` + "\n\n" + hi + stop, "hi", io.EOF},
		{"endless after the end", hi + stop + done + strings.Repeat("x", 2*maxErrorBody), "hi", ErrEventStream},
	} {
		text, _, err := chatOf("text/event-stream", tt.in)
		if text != tt.text || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v", tt.name, text, err)
		}
	}
	text, _, err := chatOf("text/event-stream", hi+`data: {"error":{"message":"out of memory","code":"oom"}}`+"\n\n")
	if text != "hi" || !errors.As(err, &api) || api.Message != "out of memory" || api.Code != "oom" {
		t.Errorf("error event: %q, %v", text, err)
	}
	text, s, err := chatOf("application/json", `{"model":"m\u001b[2J","choices":[{"message":{"content":"whole"}}]}`)
	if text != "whole" || err != io.EOF || s.FinishReason != "stop" || strings.ContainsRune(s.Model, 0x1b) {
		t.Errorf("whole: %q, %+v, %v", text, s, err)
	}
}

func FuzzChatStream(f *testing.F) {
	f.Add("text/event-stream", `data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`+"\n\ndata: [DONE]\n\n")
	f.Add("application/json", `{"choices":[{"message":{"content":"a"}}]}`)
	f.Add("text/event-stream", `data: {"error":"no"}`+"\n\n")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		text, _, err := chatOf(contentType, body)
		if err == nil {
			t.Error("no end")
		}
		if len(text) > 3*len(body) { // replaced bytes grow
			t.Errorf("%d bytes of text from %d", len(text), len(body))
		}
	})
}

// A list of nothing but empty nodes would take thirty times its size in memory.
func TestNodeListOfMuch(t *testing.T) {
	list := func(commas int) []byte { // one stands before the nodes
		return []byte(`{"v":1,"nodes":[` + strings.Repeat("{},", commas-1) + `{}]}`)
	}
	for commas, want := range map[int]string{
		maxNodes: "", maxNodes + 1: "more than 64 nodes", maxCommas: "more than 64 nodes", maxCommas + 1: "more than 16384 parts",
	} {
		_, err := parseNodeList(list(commas))
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, ErrNodeList) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d commas: %v", commas, err)
		}
	}
}

func FuzzNodeList(f *testing.F) {
	f.Add([]byte(`{"v":1,"nodes":[{"id":"00","bundles":["e30="]}]}`))
	f.Add([]byte(`{"v":1,"nodes":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		nodes, err := parseNodeList(b)
		if err != nil && (!errors.Is(err, ErrNodeList) || nodes != nil) {
			t.Errorf("%d nodes and %v", len(nodes), err)
		}
		if len(nodes) > maxNodes {
			t.Errorf("%d nodes", len(nodes))
		}
	})
}

func FuzzAPIError(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"m","type":"t","param":null,"code":400}}`))
	f.Add([]byte(`{"error":"just words"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := parseAPIError(b)
		if e != nil && strings.ContainsFunc(e.Message+e.Code+e.Type+e.Param, func(r rune) bool { return r < ' ' }) {
			t.Errorf("control characters: %q", e)
		}
	})
}

// testPending returns a Pending of a real exchange with two recipients.
func testPending(t testing.TB, header bool) Pending {
	var rs []seal.Recipient
	for i := range 2 {
		k, err := seal.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, seal.Recipient{ID: seal.KeyID{byte(i)}, PublicKey: k.PublicKey()})
	}
	_, ex, err := seal.SealRequest(rs, []byte("words"))
	if err != nil {
		t.Fatal(err)
	}
	p := Pending{id: answerID{7}, exchange: ex, nodes: []Receipt{{V: 1, Node: "a"}, {V: 1, Node: "b"}}}
	if header {
		p.header = make([]byte, seal.AnswerHeaderSize)
		p.header[2] = 1
	}
	return p
}

func TestPending(t *testing.T) {
	for _, header := range []bool{false, true} {
		p := testPending(t, header)
		b, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var q Pending
		if err := q.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		again, err := q.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%v, came back as\n%s, was\n%s", err, again, b)
		}
		if got, want := len(q.answering()), map[bool]int{false: 2, true: 1}[header]; got != want {
			t.Errorf("%d nodes may answer, want %d", got, want)
		}
		for i, change := range map[string][]byte{
			"cut": b[:len(b)-1], "more": append(bytes.Clone(b), '{'), "empty": nil,
			"unknown field": append(bytes.Clone(b[:len(b)-1]), []byte(`,"x":1}`)...),
			"long":          append(bytes.Clone(b), bytes.Repeat([]byte(" "), maxPending)...),
		} {
			if err := new(Pending).UnmarshalBinary(change); !errors.Is(err, ErrPending) {
				t.Errorf("%s: %v", i, err)
			}
		}
	}
	if _, err := (Pending{}).MarshalBinary(); !errors.Is(err, ErrPending) {
		t.Errorf("empty: %v", err)
	}
}

// TestPendingOfAnImpossibleNode: the recipient's place comes from a stored
// document and must be one that there is.
func TestPendingOfAnImpossibleNode(t *testing.T) {
	p := testPending(t, true)
	p.header[2] = 5
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Pending).UnmarshalBinary(b); !errors.Is(err, ErrPending) {
		t.Errorf("error %v", err)
	}
}

func TestPendingHidesItself(t *testing.T) {
	p := testPending(t, true)
	secret, _ := p.exchange.MarshalBinary()
	j, _ := p.MarshalJSON()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", p)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "p", p)
	for _, out := range []string{fmt.Sprint(p), fmt.Sprintf("%v %+v %#v %s %q", p, p, p, p, p), string(j), log.String()} {
		if strings.Contains(out, fmt.Sprintf("%x", secret[40:48])) || len(out) > 400 {
			t.Errorf("it shows: %s", out)
		}
	}
}

func FuzzPending(f *testing.F) {
	for _, header := range []bool{false, true} {
		b, err := testPending(f, header).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Pending
		if err := p.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrPending) {
				t.Errorf("error %v", err)
			}
			return
		}
		if ids := p.answering(); len(ids) == 0 {
			t.Error("nobody may answer")
		}
		if _, err := p.MarshalBinary(); err != nil {
			t.Error(err)
		}
	})
}
