// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package test drives the web app's core in a real Chromium against a real
// account server, gateway and node; only the engine is made up. smoke.mjs holds
// the steps, this file the server and what it saw.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/test/needs"
	"github.com/sotto-chat/sotto/vault"
	"github.com/sotto-chat/sotto/web"
)

// words is an engine that answers with numbered words, as many as asked for: a
// question "40 words" gets 40 of them, 20 a second. "40 words, held" stops in
// its middle until it is released, so that no step depends on how fast it is. A
// request for a title gets one.
type words struct {
	mu      sync.Mutex
	gate    chan struct{} // closed by release
	stopped int           // answers whose reader went away before their end
	asked   []string
}

func (*words) Name() string { return "words" }
func (*words) Close() error { return nil }

func (*words) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{{ID: "words"}}, nil
}

// release lets every answer that is held go on.
func (w *words) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.gate)
	w.gate = make(chan struct{})
}

func (w *words) Do(ctx context.Context, r *engine.Request) (*engine.Response, error) {
	if r.Method == "GET" {
		list := `{"object":"list","data":[{"id":"words","object":"model","owned_by":"sotto","meta":{"name":"Words (demo)","demo":true,"context":4096}}]}`
		return &engine.Response{Status: 200, ContentType: "application/json", Body: io.NopCloser(strings.NewReader(list))}, nil
	}
	var req struct {
		Messages  []struct{ Role, Content string }
		CacheSalt string `json:"cache_salt"`
	}
	if err := json.Unmarshal(r.Body, &req); err != nil || len(req.Messages) == 0 || req.CacheSalt == "" {
		return nil, &engine.Error{Status: 400, Message: "This isn’t a conversation with a cache salt."}
	}
	question := req.Messages[len(req.Messages)-1].Content
	w.mu.Lock()
	w.asked = append(w.asked, question)
	gate := w.gate
	w.mu.Unlock()
	held := strings.Contains(question, "held")
	pr, pw := io.Pipe()
	go func() {
		delta := func(text, finish string) error {
			_, err := fmt.Fprintf(pw, "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":%s}]}\n\n", text, finish)
			return err
		}
		n := 5
		fmt.Sscanf(question, "%d words", &n)
		var err error
		if strings.HasPrefix(question, "Title for this chat:") {
			err = delta("\"Counting words.\"", "null")
		} else {
			for i := 1; i <= n && err == nil; i++ {
				if held && i == n/2 {
					select {
					case <-ctx.Done():
					case <-gate:
					}
				}
				select {
				case <-ctx.Done():
					err = ctx.Err()
				case <-time.After(50 * time.Millisecond):
					err = delta(fmt.Sprintf("word%d ", i), "null")
				}
			}
		}
		if err == nil {
			err = delta("", `"stop"`)
		}
		if err == nil {
			_, err = io.WriteString(pw, "data: [DONE]\n\n")
		}
		if err != nil {
			w.mu.Lock()
			w.stopped++
			w.mu.Unlock()
		}
		pw.CloseWithError(err)
	}()
	return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: pr}, nil
}

// accounts is an account server whose database can be kept and brought back.
type accounts struct {
	file, origin string
	mu           sync.RWMutex
	db           *store.DB
	server       *account.Server
}

func (a *accounts) open() (err error) {
	if a.db, err = store.Open(context.Background(), a.file); err != nil {
		return err
	}
	a.server, err = account.New(account.Config{Store: a.db, Origin: a.origin})
	return err
}

func (a *accounts) close() {
	a.server.Close()
	a.db.Close()
}

// copyFile stops the server, copies one file over another, and starts it again.
func (a *accounts) copyFile(to, from string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.close()
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		return err
	}
	return a.open()
}

func (a *accounts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.RLock()
	server := a.server
	a.mu.RUnlock()
	server.Handler().ServeHTTP(w, r)
}

// recorder keeps the bodies of all requests to the account server.
type recorder struct {
	http.Handler
	mu     sync.Mutex
	bodies bytes.Buffer
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	fmt.Fprintf(&r.bodies, "%s %s\n%s\n", q.Method, q.URL, b)
	r.mu.Unlock()
	q.Body = io.NopCloser(bytes.NewReader(b))
	r.Handler.ServeHTTP(w, q)
}

// cut drops connections to the gateway on demand, as a bad network does.
type cut struct {
	http.Handler
	mu   sync.Mutex
	live map[int]context.CancelFunc
	next int
	down bool
}

func (c *cut) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	c.mu.Lock()
	if c.down {
		c.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	id := c.next
	c.next++
	c.live[id] = cancel
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.live, id)
		c.mu.Unlock()
		if ctx.Err() != nil && q.Context().Err() == nil {
			panic(http.ErrAbortHandler)
		}
	}()
	c.Handler.ServeHTTP(w, q.WithContext(ctx))
}

func (c *cut) set(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
	if down {
		for _, cancel := range c.live {
			cancel()
		}
	}
}

// terminal is a terminal that wants to be linked; see vault.DeviceKey.
type terminal struct {
	api    string
	key    vault.DeviceKey
	id     string
	secret []byte
}

// offer begins to link and answers with the path of the page that approves.
func (t *terminal) offer(w http.ResponseWriter, _ *http.Request) {
	key, err := vault.NewDeviceKey()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var link struct {
		ID         string `json:"id"`
		PollSecret []byte `json:"poll_secret"`
	}
	if err := t.post(t.api, map[string]any{"public_key": key.Offer("my terminal")}, &link); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	t.key, t.id, t.secret = key, link.ID, link.PollSecret
	json.NewEncoder(w).Encode(map[string]string{"path": "/link/" + link.ID + "#" + key.LinkSecret()})
}

// poll takes the wrap that the page made and says whether it opens.
func (t *terminal) poll(w http.ResponseWriter, _ *http.Request) {
	var approved struct {
		Status  string          `json:"status"`
		Account vault.AccountID `json:"account"`
		Wrap    vault.Wrap      `json:"wrap"`
	}
	err := t.post(t.api+"/"+t.id+"/poll", map[string]any{"poll_secret": t.secret}, &approved)
	if err == nil && approved.Status != "approved" {
		err = fmt.Errorf("the link is %s", approved.Status)
	}
	if err == nil {
		_, err = vault.UnwrapDevice(approved.Wrap, approved.Account, t.key)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, "opened")
}

func (t *terminal) post(url string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		needs.Missing(t, "Debian's chromium")
	}
	if _, err := os.Stat("../node_modules/playwright-core"); err != nil {
		needs.Missing(t, "the packages of web/package.json: npm ci in web")
	}

	dist := filepath.Join(t.TempDir(), "dist")
	build := exec.Command("go", "run", "./web/build", "-main", "test/page.ts", "-out", dist)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the test page: %v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	eng := &words{gate: make(chan struct{})}
	n, err := node.New(node.Config{Engine: eng, Evidence: forge.Evidence})
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewServer(n.Handler())
	defer inside.Close()
	g, err := gateway.New(gateway.Config{Nodes: []string{inside.URL}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { n.Run(ctx) })
	wg.Go(func() { g.Run(ctx) })
	defer wg.Wait()
	defer cancel()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	origin := fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	acc := &accounts{file: filepath.Join(t.TempDir(), "sotto.db"), origin: origin}
	if err := acc.open(); err != nil {
		t.Fatal(err)
	}
	defer acc.close()

	rec := &recorder{Handler: acc}
	wire := &cut{Handler: g.Handler(), live: map[int]context.CancelFunc{}}
	var accountDown sync.Mutex
	isDown := false
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		accountDown.Lock()
		down := isDown
		accountDown.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		rec.ServeHTTP(w, r)
	})
	mux.Handle("/sotto/", wire)
	mux.HandleFunc("POST /test/network", func(_ http.ResponseWriter, r *http.Request) {
		wire.set(r.URL.Query().Get("down") == "1")
	})
	mux.HandleFunc("POST /test/account", func(_ http.ResponseWriter, r *http.Request) {
		accountDown.Lock()
		defer accountDown.Unlock()
		isDown = r.URL.Query().Get("down") == "1"
	})
	mux.HandleFunc("POST /test/release", func(http.ResponseWriter, *http.Request) { eng.release() })
	mux.HandleFunc("POST /test/backup", func(w http.ResponseWriter, r *http.Request) {
		if err := acc.copyFile(acc.file+".backup", acc.file); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /test/restore", func(w http.ResponseWriter, r *http.Request) {
		if err := acc.copyFile(acc.file, acc.file+".backup"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /test/seen", func(w http.ResponseWriter, _ *http.Request) {
		eng.mu.Lock()
		defer eng.mu.Unlock()
		rec.mu.Lock()
		defer rec.mu.Unlock()
		json.NewEncoder(w).Encode(map[string]any{"stopped": eng.stopped, "asked": eng.asked, "account": rec.bodies.String()})
	})
	term := &terminal{api: "http://" + l.Addr().String() + "/api/v1/links"}
	mux.HandleFunc("POST /test/link", term.offer)
	mux.HandleFunc("POST /test/linked", term.poll)
	mux.Handle("/", web.New(os.DirFS(dist)))
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	defer srv.Close()

	drive := exec.Command("node", "smoke.mjs", origin, chromium)
	var out bytes.Buffer
	drive.Stdout, drive.Stderr = &out, &out
	if err := drive.Run(); err != nil {
		t.Fatalf("smoke.mjs: %v\n%s", err, out.String())
	}
	t.Logf("%s", out.String())
}
