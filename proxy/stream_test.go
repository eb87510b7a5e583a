// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/client"
)

// recorder is a ResponseWriter that can flush and has deadlines.
type recorder struct {
	mu   sync.Mutex
	body bytes.Buffer
	fail bool
}

func (r *recorder) Header() http.Header              { return http.Header{} }
func (r *recorder) WriteHeader(int)                  {}
func (r *recorder) Flush()                           {}
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }
func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail {
		return 0, errors.New("broken pipe")
	}
	return r.body.Write(b)
}

// script is a body that gives each piece after a wait.
type script []struct {
	after time.Duration
	text  string
	err   error
}

func (s *script) Read(p []byte) (int, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	step := (*s)[0]
	*s = (*s)[1:]
	time.Sleep(step.after)
	return copy(p, step.text), step.err
}

func newTestStream(ctx context.Context, w http.ResponseWriter) *stream {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://localhost/", nil)
	if err != nil {
		panic(err)
	}
	return newStream(w, r, true)
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(recorder)
		s := newTestStream(t.Context(), w)
		body := script{
			{0, "data: 1\n\n", nil},
			{40 * time.Second, "data: 2", nil}, // two comments before it
			{40 * time.Second, "\n\n", nil},    // none: an event is open
			{14 * time.Second, "data: 3\r\n\r\n", nil},
			{16 * time.Second, "data: 4\n\n", nil},
		}
		if err := s.copy(&body); err != nil {
			t.Error(err)
		}
		const ka = ": keep-alive\n\n"
		want := "data: 1\n\n" + ka + ka + "data: 2\n\ndata: 3\r\n\r\n" + ka + "data: 4\n\n"
		if got := w.body.String(); got != want {
			t.Errorf("%q\nwant\n%q", got, want)
		}
	})
}

// TestOnlyStreamsGetComments: a JSON document stays one.
func TestOnlyStreamsGetComments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(recorder)
		s := newTestStream(t.Context(), w)
		s.events = false
		body := script{{time.Minute, "{}", nil}}
		if err := s.copy(&body); err != nil || w.body.String() != "{}" {
			t.Errorf("%q, %v", w.body.String(), err)
		}
	})
}

func TestCopyEndsWithTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		body := script{{0, "data: 1\n\n", nil}, {time.Hour, "", nil}}
		if err := newTestStream(ctx, new(recorder)).copy(&body); err != nil || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		other := script{{0, "data: 1\n\n", nil}, {time.Hour, "", nil}}
		if err := newTestStream(t.Context(), &recorder{fail: true}).copy(&other); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Hour) // for the bodies, which nobody closes here
	})
}

// TestBroken: after a whole event comes an error event; in the middle of one,
// or of a document, the connection breaks.
func TestBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			text   string
			events bool
			aborts bool
		}{{"data: 1\n\n", true, false}, {"data: 1", true, true}, {`{"a":`, false, true}, {"", true, false}} {
			w := new(recorder)
			s := newTestStream(t.Context(), w)
			s.events = tt.events
			body := script{{0, tt.text, nil}, {0, "", client.ErrInterrupted}}
			err := s.copy(&body)
			if !errors.Is(err, client.ErrInterrupted) {
				t.Fatal(err)
			}
			aborted := func() (aborted bool) {
				defer func() { aborted = recover() == http.ErrAbortHandler }()
				s.broken(err)
				return false
			}()
			if aborted != tt.aborts || !tt.aborts && !strings.Contains(w.body.String(), `"code":"interrupted"`) {
				t.Errorf("%q: aborted %t, %q", tt.text, aborted, w.body.String())
			}
		}
	})
}

func TestWaitAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(recorder)
		c := make(chan int)
		go func() { time.Sleep(40 * time.Second); c <- 7 }()
		v, ok := waitAlive(newTestStream(t.Context(), w), c)
		if v != 7 || !ok || w.body.String() != strings.Repeat(": keep-alive\n\n", 2) {
			t.Errorf("%d, %t, %q", v, ok, w.body.String())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := waitAlive(newTestStream(ctx, w), make(chan int)); ok {
			t.Error("goes on for a program that has gone")
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	for _, s := range []string{`{}`, ` {"model":"m","stream":true}`, `{"cache_salt":null}`, `{"cache_\u0073alt":1}`, `[]`, `{"a":{"cache_salt":1}}`, "\xef\xbb\xbf{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const salt = "0123"
		r, err := readRequest(body, salt)
		if err != nil {
			if !errors.Is(err, errNotObject) {
				t.Error(err)
			}
			return
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(body, &before) != nil || json.Unmarshal(r.body, &after) != nil {
			t.Fatalf("%q became %q", body, r.body)
		}
		if _, had := before[saltMember]; had {
			if !bytes.Equal(r.body, body) {
				t.Errorf("%q had a salt and became %q", body, r.body)
			}
			return
		}
		if string(after[saltMember]) != `"`+salt+`"` || len(after) != len(before)+1 {
			t.Errorf("%q became %q", body, r.body)
		}
		member := `"` + saltMember + `":"` + salt + `"`
		without := bytes.Replace(bytes.Replace(r.body, []byte(member+","), nil, 1), []byte(member), nil, 1)
		if !bytes.Equal(without, body) {
			t.Errorf("%q became %q", body, r.body)
		}
	})
}
