// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// TestHostileAnswers has somebody on the way change an answer. Each change has
// a named error and a sentence, and what came before it is kept.
func TestHostileAnswers(t *testing.T) {
	var foreign [][]byte // records of another answer
	for _, tt := range []struct {
		name string
		// change gets the header and the records of the answer.
		change func(r [][]byte) []byte
		want   error
		says   string
		keeps  bool // a part of the answer comes out
	}{
		{"cut in the middle of a record", func(r [][]byte) []byte { return bytes.Join(r[:4], nil)[:3000] }, ErrInterrupted, SaysInterrupted, true},
		{"cut between records", func(r [][]byte) []byte { return bytes.Join(r[:4], nil) }, ErrInterrupted, SaysInterrupted, true},
		{"cut in the header", func(r [][]byte) []byte { return r[0][:20] }, seal.ErrTruncated, SaysInterrupted, false},
		{"empty", func(r [][]byte) []byte { return nil }, seal.ErrTruncated, SaysInterrupted, false},
		{"a record left out", func(r [][]byte) []byte { return bytes.Join(slices.Delete(r, 3, 4), nil) }, seal.ErrAuthentication, SaysAltered, true},
		{"two records swapped", func(r [][]byte) []byte { r[3], r[4] = r[4], r[3]; return bytes.Join(r, nil) }, seal.ErrAuthentication, SaysAltered, true},
		{"a record repeated", func(r [][]byte) []byte { return bytes.Join(slices.Insert(r, 3, r[2]), nil) }, seal.ErrAuthentication, SaysAltered, true},
		{"a bit flipped", func(r [][]byte) []byte { r[3][100] ^= 1; return bytes.Join(r, nil) }, seal.ErrAuthentication, SaysAltered, true},
		{"a record of another answer", func(r [][]byte) []byte { r[3] = foreign[3]; return bytes.Join(r, nil) }, seal.ErrAuthentication, SaysAltered, true},
		{"another answer", func(r [][]byte) []byte { return bytes.Join(foreign, nil) }, seal.ErrAuthentication, SaysAltered, false},
		{"the nonce changed", func(r [][]byte) []byte { r[0][10] ^= 1; return bytes.Join(r, nil) }, seal.ErrAuthentication, SaysAltered, false},
		{"another recipient", func(r [][]byte) []byte { r[0][2] = 1; return bytes.Join(r, nil) }, seal.ErrFormat, SaysAltered, false},
		{"another version", func(r [][]byte) []byte { r[0][0] = 9; return bytes.Join(r, nil) }, seal.ErrVersion, SaysAltered, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.answer = func(n int, o *seal.Opened, _ *bhttp.Request) (*Response, error) {
				r := records(o, long, 200)
				if n == 1 {
					foreign = slices.Clone(r)
					return reply(200, envelope.AnswerType, bytes.Join(r, nil)), nil
				}
				return reply(200, envelope.AnswerType, tt.change(r)), nil
			}
			c := f.client(Config{})
			if text, err := get(t, c, Options{}); text != long || err != nil {
				t.Fatalf("unchanged: %d bytes, %v", len(text), err)
			}
			text, err := get(t, c, Options{})
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if s := Explain(err); s.Code != tt.says {
				t.Errorf("sentence %+v, want code %s", s, tt.says)
			}
			if !strings.HasPrefix(long, text) || (text != "") != tt.keeps {
				t.Errorf("kept %q", text)
			}
		})
	}
}

// TestAlteredAnswersAreNotResumed: an answer that was changed is over. Asking
// for it again would let whoever changes it go on trying.
func TestAlteredAnswersAreNotResumed(t *testing.T) {
	f := newFake(t)
	f.answer = func(n int, o *seal.Opened, _ *bhttp.Request) (*Response, error) {
		r := records(o, long, 200)
		r[5][7] ^= 1
		return reply(200, envelope.AnswerType, bytes.Join(r, nil)), nil
	}
	c := f.client(Config{})
	if _, err := get(t, c, Options{Resume: true}); !errors.Is(err, seal.ErrAuthentication) {
		t.Errorf("error %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(f.paths, pathResume) {
		t.Errorf("asked for %v", f.paths)
	}
}

// TestForeignAnswerToResume: what comes instead of the resumed answer is told
// from it, whatever it is.
func TestForeignAnswerToResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var other *seal.Opened
		for name, second := range map[string]func(o *seal.Opened, first [][]byte) []byte{
			"another answer under the same header": func(_ *seal.Opened, first [][]byte) []byte {
				return append(first[0], bytes.Join(records(other, long, 200)[3:], nil)...)
			},
			"the same records again": func(_ *seal.Opened, first [][]byte) []byte { return bytes.Join(first, nil) },
			"an answer of somebody else": func(*seal.Opened, [][]byte) []byte {
				return bytes.Join(records(other, long, 200), nil)
			},
		} {
			f := newFake(t)
			var first [][]byte
			f.answer = func(n int, o *seal.Opened, _ *bhttp.Request) (*Response, error) {
				if n == 1 {
					other = o
					return reply(200, envelope.AnswerType, sealed(o, "")), nil
				}
				if n == 2 {
					first = records(o, long, 200)
					return &Response{Status: 200, ContentType: envelope.AnswerType, Body: lostAfter(bytes.Join(first[:3], nil))}, nil
				}
				return reply(200, envelope.AnswerType, second(o, first)), nil
			}
			c := f.client(Config{})
			get(t, c, Options{})
			text, err := get(t, c, Options{Resume: true})
			if !errors.Is(err, seal.ErrAuthentication) || !strings.HasPrefix(long, text) || text == "" || text == long {
				t.Errorf("%s: %d bytes, %v", name, len(text), err)
			}
			c.Close()
		}
	})
}

func TestLostConnectionsAreTriedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.answer = func(n int, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			if n == 1 {
				return &Response{Status: 200, ContentType: envelope.AnswerType, Body: lostAfter(bytes.Join(records(o, long, 200)[:3], nil))}, nil
			}
			return nil, errors.New("no route to host")
		}
		c := f.client(Config{})
		start := time.Now()
		text, err := get(t, c, Options{Resume: true})
		if !errors.Is(err, ErrInterrupted) || text == "" || !strings.HasPrefix(long, text) {
			t.Errorf("%d bytes, %v", len(text), err)
		}
		if _, seals := f.counts(); seals != 1+resumeTries {
			t.Errorf("%d requests, want 1 and %d tries", seals, resumeTries)
		}
		if d := time.Since(start); d < 5*time.Second || d > time.Minute {
			t.Errorf("tried for %v", d)
		}
		c.CloseNow()
	})
}

func TestAStalledStreamIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var first [][]byte
		f.answer = func(n int, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			if n == 1 {
				first = records(o, long, 200)
				return &Response{Status: 200, ContentType: envelope.AnswerType, Body: hangsAfter(bytes.Join(first[:4], nil))}, nil
			}
			if want := `"next":3`; !bytes.Contains(req.Body, []byte(want)) {
				t.Errorf("resumed with %s, want %s", req.Body, want)
			}
			return reply(200, envelope.AnswerType, append(bytes.Clone(first[0]), bytes.Join(first[4:], nil)...)), nil
		}
		c := f.client(Config{})
		start := time.Now()
		if text, err := get(t, c, Options{Resume: true}); text != long || err != nil {
			t.Errorf("%d bytes, %v", len(text), err)
		}
		if d := time.Since(start); d < stallAfter || d > 2*stallAfter {
			t.Errorf("noticed after %v", d)
		}
		c.Close()
	})
}

// TestTheNodeHasLetGo: what a node says about a resumed answer is read with the
// key of the question, and is not taken for the answer.
func TestTheNodeHasLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.answer = func(n int, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			if n == 1 {
				return &Response{Status: 200, ContentType: envelope.AnswerType, Body: lostAfter(bytes.Join(records(o, long, 200)[:4], nil))}, nil
			}
			return reply(200, envelope.AnswerType, refused(o, 410)), nil
		}
		c := f.client(Config{})
		text, err := get(t, c, Options{Resume: true})
		if !errors.Is(err, ErrGone) || !errors.Is(err, ErrInterrupted) || text == "" || !strings.HasPrefix(long, text) {
			t.Errorf("%d bytes, %v", len(text), err)
		}
		if _, seals := f.counts(); seals != 2 {
			t.Errorf("asked %d times", seals)
		}
		c.Close()
	})
}

// TestFirstByteLost: the header that nobody has authenticated yet is not
// believed, and which node answers is found out by asking.
func TestFirstByteLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, cut := range map[string]int{"before the header": 0, "after the header": 1} {
			f := newFake(t)
			var first [][]byte
			f.answer = func(n int, o *seal.Opened, req *bhttp.Request) (*Response, error) {
				if n == 1 {
					first = records(o, long, 200)
					return &Response{Status: 200, ContentType: envelope.AnswerType, Body: lostAfter(bytes.Join(first[:cut], nil))}, nil
				}
				return reply(200, envelope.AnswerType, bytes.Join(first, nil)), nil
			}
			c := f.client(Config{})
			if text, err := get(t, c, Options{Resume: true}); text != long || err != nil {
				t.Errorf("%s: %d bytes, %v", name, len(text), err)
			}

			// A node that knows nothing of it says so in a sealed answer.
			f = newFake(t)
			c = f.client(Config{})
			f.answer = func(n int, o *seal.Opened, req *bhttp.Request) (*Response, error) {
				if n == 1 {
					return &Response{Status: 200, ContentType: envelope.AnswerType, Body: lostAfter(bytes.Join(records(o, long, 200)[:cut], nil))}, nil
				}
				return reply(200, envelope.AnswerType, refused(o, 410)), nil
			}
			if _, err := get(t, c, Options{Resume: true}); !errors.Is(err, ErrInterrupted) {
				t.Errorf("%s: %v", name, err)
			}
			c.CloseNow()
		}
	})
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, tt := range map[string]struct {
		resp *Response
		want error
	}{
		"a web page":      {reply(200, "text/html", []byte("<h1>Please log in")), ErrAnswer},
		"a bare 200":      {reply(200, "", nil), ErrAnswer},
		"a busy service":  {reply(503, "application/json", []byte(`{"error":{"code":"busy","message":"x"}}`)), nil},
		"an error page":   {reply(502, "text/html", []byte("<h1>Bad gateway")), nil},
		"an endless word": {reply(400, "application/json", []byte(`{"error":{"code":"`+strings.Repeat("a", 1<<20)+`"}}`)), nil},
	} {
		f := newFake(t)
		f.answer = func(int, *seal.Opened, *bhttp.Request) (*Response, error) { return tt.resp, nil }
		_, err := get(t, f.client(Config{}), Options{})
		var se *ServiceError
		if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && (!errors.As(err, &se) || se.Status != tt.resp.Status) {
			t.Errorf("%s: %v", name, err)
		}
		if s := Explain(err); s.Hint == "" || s.Code == SaysInternal || strings.Contains(s.Text, "<h1>") {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestHostileNodeLists: none of these makes the client send anything.
func TestHostileNodeLists(t *testing.T) {
	var f *fakeService
	other := strings.Repeat("ab", 16)
	for name, tt := range map[string]struct {
		list func() []byte
		want string // code of the sentence
	}{
		"not JSON":          {func() []byte { return []byte("<html>") }, SaysUnknown},
		"another version":   {func() []byte { return []byte(`{"v":2,"nodes":[]}`) }, SaysUnknown},
		"empty":             {func() []byte { return []byte(`{"v":1,"nodes":[]}`) }, CodeNoNode},
		"too long":          {func() []byte { return bytes.Repeat([]byte(" "), maxNodeList+1) }, SaysUnknown},
		"too many bundles":  {func() []byte { return f.nodeList(slices.Repeat([][]byte{{1}}, maxBundles+1)...) }, SaysUnknown},
		"garbage as bundle": {func() []byte { return f.nodeList([]byte("garbage")) }, SaysNotVerified},
		"a key exchanged": {func() []byte {
			b, _ := attest.ParseBundle(f.bundle(fakeNode))
			o, _ := attest.ParseBundle(f.bundle(other))
			b.KeyConfig = o.KeyConfig // the evidence speaks of another key
			doc, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return f.nodeList(doc)
		}, SaysNotVerified},
		"evidence altered": {func() []byte {
			b, _ := attest.ParseBundle(f.bundle(fakeNode))
			b.Evidence[0].Data[0] ^= 1
			doc, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return f.nodeList(doc)
		}, SaysNotVerified},
	} {
		f = newFake(t)
		f.list = func() (*Response, error) { return reply(200, "application/json", tt.list()), nil }
		c := f.client(Config{})
		_, err := get(t, c, Options{})
		if s := Explain(err); err == nil || s.Code != tt.want {
			t.Errorf("%s: error %v, sentence %+v", name, err, s)
		}
		if _, seals := f.counts(); seals != 0 {
			t.Errorf("%s: something was sent", name)
		}
		if st := c.Status(); st.State.MaySend() {
			t.Errorf("%s: state %s", name, st.State)
		}
	}
}

// TestStaleNodeList: a list that was good an hour ago is not good now.
func TestStaleNodeList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		old := f.nodeList(f.bundle(fakeNode))
		time.Sleep(time.Hour)
		f.list = func() (*Response, error) { return reply(200, "application/json", old), nil }
		c := f.client(Config{})
		_, err := get(t, c, Options{})
		var nv *NotVerifiedError
		if !errors.As(err, &nv) || nv.Failure() != attest.FailKeyExpired {
			t.Errorf("error %v", err)
		}
		if st := c.Status(); st.State != StateUnknown {
			t.Errorf("state %s, want unknown: it could not be checked", st.State)
		}
		c.CloseNow()
	})
}

// TestBodyIsSafeToCloseWhileItIsRead: as a proxy does when its caller goes.
func TestBodyIsSafeToCloseWhileItIsRead(t *testing.T) {
	f := newFake(t)
	f.answer = func(n int, o *seal.Opened, _ *bhttp.Request) (*Response, error) {
		return &Response{Status: 200, ContentType: envelope.AnswerType, Body: hangsAfter(bytes.Join(records(o, long, 200)[:3], nil))}, nil
	}
	c := f.client(Config{})
	a, err := c.Do(t.Context(), &bhttp.Request{Method: "POST", Path: "/v1/x"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := io.ReadAll(a.Body)
		done <- err
	}()
	a.Body.Close()
	if err := <-done; err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reading a closed body: %v", err)
	}
}

// slowPlatform stands for evidence that was made so that judging it takes long.
type slowPlatform struct {
	realPlatform
	asked *int
}

func (p slowPlatform) Verify(data []byte, claim attest.Claim, policy attest.Policy, now time.Time) attest.Appraisal {
	*p.asked++
	time.Sleep(12 * time.Second)
	return p.realPlatform.Verify(data, claim, policy, now)
}

// A gateway can list as much as it likes: one check ends all the same, with the
// machines that were judged by then.
func TestOneCheckEnds(t *testing.T) {
	for name, bundles := range map[string]int{"many machines": 1, "many keys": 4} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.list = func() (*Response, error) {
				b := f.bundle(fakeNode)
				var nodes []any
				for range 16 {
					nodes = append(nodes, map[string]any{"id": fakeNode, "bundles": slices.Repeat([][]byte{b}, bundles)})
				}
				doc, err := json.Marshal(map[string]any{"v": 1, "nodes": nodes})
				return reply(200, "application/json", doc), err
			}
			asked := 0
			c := f.client(Config{Platforms: []attest.Platform{slowPlatform{asked: &asked}}})
			defer c.Close()
			start := time.Now()
			verdicts, err := c.Verify(t.Context())
			if err != nil || len(verdicts) == 0 || asked != 3 {
				t.Errorf("%s: %d asked, %d verdicts, %v", name, asked, len(verdicts), err)
			}
			if d := time.Since(start); d > checkTimeout+12*time.Second {
				t.Errorf("%s: it took %v", name, d)
			}
		})
	}
}
