// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// through sends a stream through a queue in pieces of the given size and
// returns what comes out; everything waits until the end.
func through(stream string, piece int) (string, error) {
	var q queue
	var ev events
	for len(stream) > 0 {
		n := copy(ev.space(), stream[:min(piece, len(stream))])
		stream = stream[n:]
		if err := ev.took(n, &q); err != nil {
			return string(q.peek(q.len())), err
		}
	}
	err := ev.end(&q)
	return string(q.peek(q.len())), err
}

func TestMerge(t *testing.T) {
	c := func(delta string) string {
		return `data: {"id":"a","choices":[{"index":0,"delta":` + delta + `,"finish_reason":null}],"x":[1,{"y":"}"}]}` + "\n\n"
	}
	for _, tt := range []struct{ name, in, out string }{
		{"text", c(`{"content":"Hel"}`) + c(`{"content":"lo"}`) + c(`{"content":"!"}`), c(`{"content":"Hello!"}`)},
		{"escapes", c(`{"content":"a\"b\\"}`) + c(`{"content":"\u00e9\n"}`), c(`{"content":"a\"b\\\u00e9\n"}`)},
		{"half characters", c(`{"content":"\ud83d"}`) + c(`{"content":"\ude00"}`), c(`{"content":"\ud83d\ude00"}`)},
		{"empty text", c(`{"content":""}`) + c(`{"content":"a"}`) + c(`{"content":""}`), c(`{"content":"a"}`)},
		{"reasoning", c(`{"reasoning_content":"hm"}`) + c(`{"reasoning_content":"m"}`), c(`{"reasoning_content":"hmm"}`)},
		{"reasoning, other name", c(`{"reasoning":"hm"}`) + c(`{"reasoning":"m"}`), c(`{"reasoning":"hmm"}`)},
		{"reasoning beside nothing", c(`{"content":"","reasoning_content":"hm"}`) + c(`{"content":"","reasoning_content":"m"}`), c(`{"content":"","reasoning_content":"hmm"}`)},
		{"reasoning beside null", c(`{"content":null,"reasoning_content":"hm"}`) + c(`{"content":null,"reasoning_content":"m"}`), c(`{"content":null,"reasoning_content":"hmm"}`)},
		{"completions", `data: {"choices":[{"text":"a","logprobs":null}]}` + "\n\n" + `data: {"choices":[{"text":"b","logprobs":null}]}` + "\n\n", `data: {"choices":[{"text":"ab","logprobs":null}]}` + "\n\n"},
		{"no space after the colon", "data:" + c(`{"content":"a"}`)[6:] + "data:" + c(`{"content":"b"}`)[6:], "data:" + c(`{"content":"ab"}`)[6:]},
		{"crlf", strings.ReplaceAll(c(`{"content":"a"}`)+c(`{"content":"b"}`), "\n", "\r\n"), strings.ReplaceAll(c(`{"content":"ab"}`), "\n", "\r\n")},
		{"then the end", c(`{"content":"a"}`) + c(`{"content":"b"}`) + end, c(`{"content":"ab"}`) + end},
		{"again after another", c(`{"content":"a"}`) + c(`{"role":"x"}`) + c(`{"content":"b"}`) + c(`{"content":"c"}`), c(`{"content":"a"}`) + c(`{"role":"x"}`) + c(`{"content":"bc"}`)},
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			if got, err := through(tt.in, piece); err != nil || got != tt.out {
				t.Errorf("%s in pieces of %d:\n got %q\nwant %q (%v)", tt.name, piece, got, tt.out, err)
			}
		}
	}
}

// What isn't certain to mean the same stays as it came.
func TestNotMerged(t *testing.T) {
	c := func(content string) string {
		return `data: {"id":"a","choices":[{"index":0,"delta":{"content":"` + content + `"},"finish_reason":null}]}` + "\n\n"
	}
	swap := func(old, new string) string { return c("a") + strings.Replace(c("b"), old, new, 1) }
	for name, stream := range map[string]string{
		"other id":              swap(`"id":"a"`, `"id":"b"`),
		"other choice":          swap(`"index":0`, `"index":1`),
		"finish reason":         swap(`:null`, `:"stop"`),
		"new field":             swap(`"delta":{`, `"delta":{"role":"assistant",`),
		"other order":           swap(`"id":"a",`, ``),
		"usage":                 swap(`}]}`, `}],"usage":{"total_tokens":3}}`),
		"more in the middle":    c("a") + c(`a"},"x":{"content":"b`),
		"kind of text":          swap(`"content"`, `"reasoning"`),
		"comment between":       c("a") + ": keep-alive\n\n" + c("b"),
		"named event":           "event: x\n" + c("a") + "event: x\n" + c("b"),
		"two data lines":        "data: {\"choices\":\ndata: []}\n\ndata: {\"choices\":\ndata: []}\n\n",
		"two choices":           strings.Repeat(`data: {"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}`+"\n\n", 2),
		"two texts":             strings.Repeat(`data: {"choices":[{"delta":{"content":"a","reasoning":"b"}}]}`+"\n\n", 2),
		"two deltas":            strings.Repeat(`data: {"choices":[{"delta":{"content":"a"},"delta":{"content":"b"}}]}`+"\n\n", 2),
		"two contents":          strings.Repeat(`data: {"choices":[{"delta":{"content":"a","content":"b"}}]}`+"\n\n", 2),
		"two lists of choices":  strings.Repeat(`data: {"choices":[{"delta":{"content":"a"}}],"choices":[]}`+"\n\n", 2),
		"escaped name":          strings.Repeat(`data: {"choices":[{"delta":{"content":"a","conten\u0074":"b"}}]}`+"\n\n", 2),
		"tool calls":            strings.Repeat(`data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"a"}}]}}]}`+"\n\n", 2),
		"content is a list":     strings.Repeat(`data: {"choices":[{"delta":{"content":[{"text":"a"}]}}]}`+"\n\n", 2),
		"content is null":       strings.Repeat(`data: {"choices":[{"delta":{"content":null}}]}`+"\n\n", 2),
		"not an object":         "data: 7\n\ndata: \"x\"\n\ndata: [1]\n\ndata: null\n\n",
		"empty data":            "data:\n\ndata: \n\n",
		"responses api":         strings.Repeat("event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n", 2),
		"deep, but not chat":    "data: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n\n",
		"blank lines and marks": "\n\n: hello\n\nid: 7\nretry: 10\n\n" + end,
	} {
		if got, err := through(stream, 11); err != nil || got != stream {
			t.Errorf("%s:\n got %q\nwant %q (%v)", name, got, stream, err)
		}
	}
}

func TestMalformedStreams(t *testing.T) {
	for name, stream := range map[string]string{
		"a page":         "<html>\n<body>\n\n",
		"not json":       "data: {\"choices\":[\n\n",
		"two documents":  "data: {} {}\n\n",
		"bad remainder":  delta("a") + strings.Replace(delta("b"), "null", "nulx", 1),
		"bad escape":     delta("a") + strings.Replace(delta("b"), "b\"}", `\x"}`, 1),
		"raw tab":        delta("a") + strings.Replace(delta("b"), "b\"}", "\t\"}", 1),
		"cut escape":     delta("a") + strings.Replace(delta("b"), "b\"}", `\u12"}`, 1),
		"other mark":     "data: [STOP]\n\n",
		"unknown field":  "date: {}\n\n",
		"cut in the end": delta("a") + `data: {"choices":[{"del`,
		"bare return":    "data: {}\r\rdata: {}\r\r\n\n",
	} {
		if got, err := through(stream, 5); err == nil {
			t.Errorf("%s: accepted as %q", name, got)
		}
	}
	// An event without an end is given up, not held for ever.
	var q queue
	var ev events
	piece := bytes.Repeat([]byte("x"), 1<<20)
	for i := range 9 {
		b := piece
		for len(b) > 0 {
			n := copy(ev.space(), b)
			b = b[n:]
			if err := ev.took(n, &q); err != nil {
				if i < 8 {
					t.Errorf("given up after %d MiB", i)
				}
				return
			}
		}
	}
	t.Error("an endless event is held")
}

// Whatever has been sent already, what comes joins only what has not.
func TestMergeWhileSending(t *testing.T) {
	var in, text strings.Builder
	for i := range 200 {
		w := fmt.Sprintf("word%d ", i)
		text.WriteString(w)
		in.WriteString(delta(w))
	}
	in.WriteString(stop + end)
	for take := 1; take < 400; take += 13 {
		var q queue
		var ev events
		var out bytes.Buffer
		rest := in.String()
		for i := 0; len(rest) > 0; i++ {
			n := copy(ev.space(), rest[:min(150+i%90, len(rest))])
			rest = rest[n:]
			if err := ev.took(n, &q); err != nil {
				t.Fatal(err)
			}
			b := q.peek(take)
			out.Write(b)
			q.drop(len(b))
		}
		for q.len() > 0 {
			b := q.peek(take)
			out.Write(b)
			q.drop(len(b))
		}
		if got := words(t, out.String()); got != text.String() {
			t.Fatalf("taking %d: %q", take, got)
		}
		if !strings.HasSuffix(out.String(), stop+end) {
			t.Fatalf("taking %d: no end", take)
		}
	}
}

// However long an answer that never lets the queue run empty: what it holds is
// what waits.
func TestQueueIsBounded(t *testing.T) {
	var q queue
	var ev events
	for range 20_000 {
		n := copy(ev.space(), delta(strings.Repeat("x", 100)))
		if err := ev.took(n, &q); err != nil {
			t.Fatal(err)
		}
		if q.len() > 1000 {
			q.drop(q.len() - 500)
		}
	}
	if cap(q.buf) > 8<<10 || cap(ev.buf) > 8<<10 {
		t.Errorf("%d and %d bytes for %d waiting", cap(q.buf), cap(ev.buf), q.len())
	}
}

// FuzzEvents feeds any bytes, in any pieces, taken in any pieces, and holds
// what comes out against the stream cut without merging.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(delta("a")+delta("b")+stop+end), uint8(3), uint8(50))
	f.Add([]byte(delta("a\"\\")+": x\n\n"+delta("\u00e9")+"event: e\ndata: {}\n\n"), uint8(100), uint8(1))
	f.Add([]byte("data: {\"choices\":[{\"text\":\"a\"}]}\r\n\r\ndata: {\"choices\":[{\"text\":\"b\"}]}\r\n\r\n"), uint8(255), uint8(255))
	f.Fuzz(func(t *testing.T, stream []byte, piece, take uint8) {
		var q queue
		var ev events
		var out bytes.Buffer
		var err error
		for rest := stream; len(rest) > 0 && err == nil; {
			n := copy(ev.space(), rest[:min(int(piece)+1, len(rest))])
			rest = rest[n:]
			err = ev.took(n, &q)
			if take > 0 {
				b := q.peek(int(take))
				out.Write(b)
				q.drop(len(b))
			}
		}
		if err == nil {
			err = ev.end(&q)
		}
		out.Write(q.peek(q.len()))
		if err != nil {
			return
		}
		if want, got := meaning(t, string(stream)), meaning(t, out.String()); !reflect.DeepEqual(want, got) {
			t.Fatalf("%q\nbecame %q\nwhich means %v\nand not %v", stream, out.String(), got, want)
		}
	})
}

// meaning is what a reader understands of a stream: texts joined per run of
// events of the same shape, all else as it is.
func meaning(t *testing.T, stream string) []string {
	var out []string
	last := ""
	stream = strings.ReplaceAll(stream, "\r\n", "\n")
	for ev := range strings.SplitSeq(strings.TrimRight(stream, "\r\n")+"\n\n", "\n\n") {
		ev = strings.Trim(ev, "\n")
		if strings.TrimSpace(ev) == "" { // what is left at the end may be blank
			continue
		}
		data, ok := strings.CutPrefix(ev, "data:")
		lead := len(data) - len(strings.TrimPrefix(data, " "))
		from, to, plain := 0, 0, false
		if ok && !strings.Contains(data, "\n") && json.Valid([]byte(data)) {
			from, to, plain = contentSpan([]byte(data[lead:]))
		}
		if !plain {
			out, last = append(out, ev), ""
			continue
		}
		data = data[lead:]
		shape := fmt.Sprint(lead, from, data[:from], "|", data[to:])
		if shape == last {
			out[len(out)-1] += data[from:to]
		} else {
			out = append(out, shape, data[from:to])
		}
		last = shape
	}
	return out
}

func FuzzContentSpan(f *testing.F) {
	f.Add([]byte(`{"choices":[{"delta":{"content":"a"}}]}`))
	f.Add([]byte(`{"choices":[{"text":"a"}]}`))
	f.Add([]byte(`{"choices":[{"delta":{"content":"","reasoning":"x"}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		from, to, ok := contentSpan(data) // any bytes: must not panic or hang
		if !ok || !json.Valid(data) {
			return
		}
		if from < 1 || to < from || to >= len(data) || data[from-1] != '"' || data[to] != '"' || !json.Valid(data[from-1:to+1]) {
			t.Fatalf("span %d:%d of %q is not the inside of a string", from, to, data)
		}
		joined := append(append(append([]byte{}, data[:to]...), data[from:]...), []byte(nil)...)
		if !json.Valid(joined) {
			t.Fatalf("doubled text makes %q", joined)
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	ev := []byte(delta("word "))
	var q queue
	var es events
	b.ReportAllocs()
	b.SetBytes(int64(len(ev)))
	for i := 0; b.Loop(); i++ {
		n := copy(es.space(), ev)
		if err := es.took(n, &q); err != nil {
			b.Fatal(err)
		}
		if i%4 == 3 {
			q.drop(q.len())
		}
	}
}
