// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/token/wallet"
)

// till hands out tickets and writes down what becomes of them.
type till struct {
	mu   sync.Mutex
	none error
	took int
	said []string
}

func (l *till) Take(context.Context) (Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.none != nil {
		return nil, l.none
	}
	l.took++
	return &stub{l, l.took}, nil
}

func (l *till) outcomes() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.said, " ")
}

type stub struct {
	l *till
	n int
}

func (s *stub) say(format string, args ...any) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.said = append(s.l.said, fmt.Sprintf("%d:", s.n)+fmt.Sprintf(format, args...))
}

func (s *stub) Fields(message []byte) ([]bhttp.Field, error) {
	return []bhttp.Field{{Name: "authorization", Value: fmt.Sprint(s.n)}}, nil
}
func (s *stub) RefundFields() ([]bhttp.Field, error) {
	return []bhttp.Field{{Name: "authorization", Value: fmt.Sprint("refund ", s.n)}}, nil
}
func (s *stub) Unspent()            { s.say("unspent") }
func (s *stub) Spent(refund []byte) { s.say("spent(%s)", refund) }
func (s *stub) Lost()               { s.say("lost") }

// counter is a service that answers sealed requests as a test wants.
type counter struct {
	*fakeService
	mu     sync.Mutex
	posts  []string                       // path and authorization
	answer func(n int) (*Response, error) // to sealed requests; nil leaves it to the fake
	refund func() (*Response, error)      // to a wish for a refund
}

func (c *counter) RoundTrip(ctx context.Context, r *Request) (*Response, error) {
	if r.Method == "POST" {
		c.mu.Lock()
		c.posts = append(c.posts, r.Path+" "+bhttp.Get(r.Header, "authorization"))
		n := len(c.posts)
		c.mu.Unlock()
		if r.Path == pathRefund {
			return c.refund()
		}
		if c.answer != nil {
			if resp, err := c.answer(n); resp != nil || err != nil {
				return resp, err
			}
		}
	}
	return c.fakeService.RoundTrip(ctx, r)
}

func says(status int, code, more string) func(int) (*Response, error) {
	return func(int) (*Response, error) {
		return reply(status, "application/json", []byte(`{"error":{"code":"`+code+`","message":""}`+more+`}`)), nil
	}
}

// once answers the first request only.
func once(f func(int) (*Response, error)) func(int) (*Response, error) {
	return func(n int) (*Response, error) {
		if n > 1 {
			return nil, nil
		}
		return f(n)
	}
}

func TestWhatBecomesOfAToken(t *testing.T) {
	const signed = `,"refund":"c2lnbmVk"`
	drop := func(int) (*Response, error) { return nil, errors.New("connection reset") }
	for name, c := range map[string]struct {
		answer func(int) (*Response, error)
		refund func() (*Response, error)
		want   string // of the tickets
		code   string // of the error; "" for an answer
	}{
		"answered":                {nil, nil, "1:spent()", ""},
		"nothing was answered":    {says(502, "node_unreachable", signed), nil, "1:spent(signed)", CodeNodeUnreachable},
		"before it was looked at": {says(413, "too_large", ""), nil, "1:unspent", CodeTooLarge},
		"malformed":               {says(400, "malformed", ""), nil, "1:unspent", CodeMalformed},
		"busy":                    {says(503, "busy", ""), nil, "1:unspent", CodeBusy},
		"spent before":            {once(says(401, "token_spent", "")), nil, "1:spent() 2:spent()", ""},
		"of yesterday":            {once(says(401, "token_expired", "")), nil, "1:spent() 2:spent()", ""},
		"never good":              {says(401, "holder_invalid", ""), nil, "1:spent() 2:spent()", "holder_invalid"},
		"none asked for it":       {says(401, "token_missing", ""), nil, "1:spent()", CodeTokenMissing},
		"the key has changed":     {once(says(410, "key_expired", signed)), nil, "1:spent(signed) 2:spent()", ""},
		"lost, and given back":    {drop, func() (*Response, error) { return reply(200, "application/json", []byte(`{"refund":"c2lnbmVk"}`)), nil }, "1:spent(signed)", SaysUnreachable},
		"lost, and was answered":  {drop, func() (*Response, error) { return says(409, "refund_refused", "")(0) }, "1:spent()", SaysUnreachable},
		"lost, and nobody knows":  {drop, func() (*Response, error) { return nil, errors.New("still away") }, "1:lost", SaysUnreachable},
		"lost, then out of order": {drop, func() (*Response, error) { return says(503, "busy", "")(0) }, "1:lost", SaysUnreachable},
		"lost, then nonsense":     {drop, func() (*Response, error) { return reply(200, "application/json", []byte(`{}`)), nil }, "1:lost", SaysUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &counter{fakeService: newFake(t), answer: c.answer, refund: c.refund}
				l := &till{}
				cl := f.client(Config{Tokens: l})
				cl.cfg.Transport = f
				_, err := get(t, cl, Options{})
				if Explain(err).Code != c.code {
					t.Errorf("%v, want %q", err, c.code)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := l.outcomes(); got != c.want {
					t.Errorf("tickets %s, want %s", got, c.want)
				}
			})
		})
	}
}

// TestWithoutATokenNothingGoesOut, and what costs a node no answer needs none.
func TestWithoutATokenNothingGoesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &counter{fakeService: newFake(t)}
		l := &till{none: &wallet.ErrNoneLeft{Resets: time.Now().Add(3 * time.Hour).Unix()}}
		c := f.client(Config{Tokens: l})
		c.cfg.Transport = f
		_, err := get(t, c, Options{})
		s := Explain(err)
		if s.Code != SaysNoneLeft || s.Text != "Not sent. There are no messages left today." || !strings.Contains(s.Hint, clock(time.Now().Add(3*time.Hour).Unix())+", your time") {
			t.Errorf("%+v", s)
		}
		if len(f.posts) != 0 {
			t.Errorf("went out: %q", f.posts)
		}
		l.none = wallet.ErrSignedOut
		if _, err := get(t, c, Options{}); Explain(err).Code != SaysSignIn {
			t.Errorf("%v", err)
		}
		a, err := c.Do(t.Context(), &bhttp.Request{Method: "GET", Path: "/v1/models"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if want := []string{pathControl + " "}; !slices.Equal(f.posts, want) {
			t.Errorf("posts %q, want %q", f.posts, want)
		}
	})
}

// TestLostAnswerThatIsFoundAgain costs one token, whatever it takes to find it.
func TestLostAnswerThatIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &counter{fakeService: newFake(t), refund: func() (*Response, error) { return nil, errors.New("asked for a refund") }}
		var whole []byte
		f.fakeService.answer = func(n int, o *seal.Opened, req *bhttp.Request) (*Response, error) {
			if whole == nil {
				whole = sealed(o, long)
				return nil, errors.New("the connection dropped")
			}
			return reply(200, "application/sotto-answer", whole), nil
		}
		l := &till{}
		c := f.client(Config{Tokens: l})
		c.cfg.Transport = f
		text, err := get(t, c, Options{Resume: true})
		if err != nil || text != long {
			t.Fatalf("%q, %v", text, err)
		}
		time.Sleep(time.Minute)
		if got := l.outcomes(); got != "1:spent()" {
			t.Errorf("tickets %s", got)
		}
		if want := []string{pathSeal + " 1", pathControl + " "}; !slices.Equal(f.posts, want) {
			t.Errorf("posts %q, want %q", f.posts, want)
		}
	})
}

func TestNoneLeftInWords(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for after, want := range map[time.Duration]string{
		0:                "What you wrote stays here; try again later.",
		12 * time.Minute: "New ones come in 13 min; what you wrote stays here.",
		5 * time.Hour:    "New ones come at " + now.Add(5*time.Hour).Format("15:04") + ", your time; what you wrote stays here.",
	} {
		resets := int64(0)
		if after > 0 {
			resets = now.Add(after).Unix()
		}
		if s := explainNoneLeft(&wallet.ErrNoneLeft{Resets: resets}, now); s.Hint != want {
			t.Errorf("%s: %q", after, s.Hint)
		}
	}
}
