// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command peers measures one sealed hop against plain TLS and against EHBP
// (Tinfoil's Encrypted HTTP Body Protocol), side by side in one run.
//
//	go run . [-n 2000] [-rounds 5] [-bulk 64]
//
// The arms answer the same requests with the same bytes over HTTP/1.1 and TLS
// 1.3 on loopback, from a process of their own each:
//
//	plain   TLS, and nothing else
//	ehbp    TLS, body sealed by EHBP's own middleware and transport
//	sotto   TLS, sealed by this module's client and opened by its node
//
// The rounds go through the arms in turn, so that a busy moment hits all alike;
// a figure is the median of its rounds. Time to first byte is from the call to
// the first byte of the answer's content. Server CPU is the process's user and
// system time over the round, divided by its requests.
//
// It is a module of its own, so that the product doesn't depend on its peers.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/seal/bhttp"

	ehbpclient "github.com/tinfoilsh/encrypted-http-body-protocol/client"
	"github.com/tinfoilsh/encrypted-http-body-protocol/identity"
	"github.com/tinfoilsh/encrypted-http-body-protocol/protocol"
)

var arms = []string{"plain", "ehbp", "sotto"}

// question is what every arm is asked; the model says what to answer with.
func question(model string) []byte {
	return []byte(`{"model":"` + model + `","messages":[{"role":"user","content":"` + strings.Repeat("What is it? ", 40) + `"}]}`)
}

// answer writes the content that a question asks for. All arms use it.
func answer(body []byte, bulk int) (contentType string, content io.Reader) {
	if bytes.Contains(body, []byte(`"bulk"`)) {
		return "application/octet-stream", io.LimitReader(zeros{}, int64(bulk)<<20)
	}
	return "application/json", bytes.NewReader(bytes.Repeat([]byte("a small answer. "), 64))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// ---------------------------------------------------------------- servers

// fake is an engine that answers at once.
type fake struct{ bulk int }

func (fake) Name() string { return "fake" }
func (fake) Close() error { return nil }
func (fake) Models(context.Context) ([]engine.Model, error) {
	return []engine.Model{{ID: "small"}, {ID: "bulk"}}, nil
}
func (f fake) Do(_ context.Context, r *engine.Request) (*engine.Response, error) {
	contentType, content := answer(r.Body, f.bulk)
	return &engine.Response{Status: 200, ContentType: contentType, Body: io.NopCloser(content)}, nil
}

func serve(arm string, bulk int) error {
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		contentType, content := answer(body, bulk)
		w.Header().Set("Content-Type", contentType)
		io.CopyBuffer(w, content, make([]byte, 32<<10))
	})
	mux := http.NewServeMux()
	switch arm {
	case "plain":
		mux.Handle("/", plain)
	case "ehbp":
		id, err := identity.NewIdentity()
		if err != nil {
			return err
		}
		mux.HandleFunc(protocol.KeysPath, id.ConfigHandler)
		mux.Handle("/", id.Middleware()(plain))
	case "sotto":
		n, err := node.New(node.Config{Engine: fake{bulk}, Evidence: forge.Evidence, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		go n.Run(context.Background())
		mux.Handle("/", n.Handler())
		// One hop is measured, so the node is asked for its list directly.
		mux.HandleFunc("GET /sotto/v1/nodes", func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			n.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/sotto/v1/evidence", nil))
			var e struct{ Bundles []string }
			if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{"v": 1, "nodes": []any{map[string]any{"id": n.ID(), "bundles": e.Bundles}}})
		})
	}
	mux.HandleFunc("GET /cpu", func(w http.ResponseWriter, r *http.Request) {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		fmt.Fprint(w, u.Utime.Nano()+u.Stime.Nano())
	})
	s := httptest.NewUnstartedServer(mux)
	s.EnableHTTP2 = false
	s.StartTLS()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"url": s.URL, "cert": string(cert)}); err != nil {
		return err
	}
	// The parent's end of the pipe closes when it is done, or gone.
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// ---------------------------------------------------------------- clients

// peer is one arm's running server and how to ask it.
type peer struct {
	arm  string
	http *http.Client
	url  string
	ask  func(ctx context.Context, model string) (io.ReadCloser, error)
	stop func()
}

func start(ctx context.Context, dir, arm string, bulk int) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", arm, "-bulk", strconv.Itoa(bulk))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var at struct{ URL, Cert string }
	if err := json.NewDecoder(stdout).Decode(&at); err != nil {
		return nil, fmt.Errorf("%s: %w", arm, err)
	}
	if err := trust(dir, at.Cert); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	p := &peer{arm: arm, url: at.URL, http: &http.Client{Transport: transport}, stop: func() { stdin.Close(); cmd.Wait() }}
	switch arm {
	case "plain":
		p.ask = p.post(p.http)
	case "ehbp":
		sealed, err := ehbpclient.NewTransport(at.URL, ehbpclient.WithHTTPClient(p.http))
		if err != nil {
			return nil, err
		}
		p.ask = p.post(&http.Client{Transport: sealed})
	case "sotto":
		c := client.New(client.Config{
			Transport: nethttp.New(at.URL),
			Policy:    attest.Policy{AllowSoftware: true},
			Platforms: []attest.Platform{software.Platform{}},
		})
		if _, err := c.Verify(ctx); err != nil {
			return nil, err
		}
		p.ask = func(ctx context.Context, model string) (io.ReadCloser, error) {
			a, err := c.Do(ctx, &bhttp.Request{
				Method: "POST", Scheme: "https", Authority: "node", Path: "/v1/completions",
				Header: []bhttp.Field{{Name: "content-type", Value: "application/json"}},
				Body:   question(model),
			}, client.Options{})
			if err != nil {
				return nil, err
			}
			if a.Status != 200 {
				return nil, fmt.Errorf("status %d", a.Status)
			}
			return a.Body, nil
		}
	}
	return p, nil
}

// trust makes the servers' certificate (httptest has one for all) this
// process's only root, kept in dir. It must come before the first connection.
func trust(dir, cert string) error {
	file := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(file, []byte(cert), 0o600); err != nil {
		return err
	}
	return errors.Join(os.Setenv("SSL_CERT_FILE", file), os.Setenv("SSL_CERT_DIR", dir))
}

func (p *peer) post(c *http.Client) func(context.Context, string) (io.ReadCloser, error) {
	return func(ctx context.Context, model string) (io.ReadCloser, error) {
		req, err := http.NewRequestWithContext(ctx, "POST", p.url+"/v1/completions", bytes.NewReader(question(model)))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != 200 {
			return nil, fmt.Errorf("status %d", resp.StatusCode)
		}
		return resp.Body, nil
	}
}

// cpu returns the CPU time that the server has used so far.
func (p *peer) cpu() (time.Duration, error) {
	resp, err := p.http.Get(p.url + "/cpu")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return time.Duration(n), err
}

// ---------------------------------------------------------------- measuring

type figures struct {
	ttfb50, ttfb95, cpu []float64 // milliseconds
	bulk, bulkCPU       []float64 // MiB/s, ms of server CPU per MiB
}

// small asks n small questions, one after the other on a warm connection.
func (p *peer) small(ctx context.Context, n int, f *figures) error {
	before, err := p.cpu()
	if err != nil {
		return err
	}
	times := make([]float64, 0, n)
	var first [1]byte
	for range n {
		t := time.Now()
		body, err := p.ask(ctx, "small")
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(body, first[:]); err != nil {
			return err
		}
		times = append(times, ms(time.Since(t)))
		if rest, err := io.Copy(io.Discard, body); err != nil || rest != 1023 {
			return errors.Join(err, fmt.Errorf("%s: %d bytes after the first", p.arm, rest))
		}
		body.Close()
	}
	after, err := p.cpu()
	if err != nil {
		return err
	}
	slices.Sort(times)
	f.ttfb50 = append(f.ttfb50, times[n/2])
	f.ttfb95 = append(f.ttfb95, times[n*95/100])
	f.cpu = append(f.cpu, ms(after-before)/float64(n))
	return nil
}

// large downloads one large answer.
func (p *peer) large(ctx context.Context, mib int, f *figures) error {
	before, err := p.cpu()
	if err != nil {
		return err
	}
	t := time.Now()
	body, err := p.ask(ctx, "bulk")
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{body}, make([]byte, 64<<10))
	if err != nil || n != int64(mib)<<20 {
		return errors.Join(err, fmt.Errorf("%s: got %d bytes", p.arm, n))
	}
	took := time.Since(t)
	after, err := p.cpu()
	if err != nil {
		return err
	}
	f.bulk = append(f.bulk, float64(mib)/took.Seconds())
	f.bulkCPU = append(f.bulkCPU, ms(after-before)/float64(mib))
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

func run() error {
	n := flag.Int("n", 2000, "small requests a round")
	rounds := flag.Int("rounds", 5, "rounds")
	bulk := flag.Int("bulk", 64, "MiB of a large answer")
	arm := flag.String("serve", "", "be this arm's server (used by the program itself)")
	flag.Parse()
	if *arm != "" {
		return serve(*arm, *bulk)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	dir, err := os.MkdirTemp("", "sotto-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	peers, got := []*peer{}, map[string]*figures{}
	for _, arm := range arms {
		p, err := start(ctx, dir, arm, *bulk)
		if err != nil {
			return err
		}
		defer p.stop()
		if err := p.small(ctx, *n/4+1, new(figures)); err != nil { // warm
			return fmt.Errorf("%s: %w", arm, err)
		}
		peers, got[arm] = append(peers, p), new(figures)
	}
	for range *rounds {
		for _, p := range peers {
			if err := p.small(ctx, *n, got[p.arm]); err != nil {
				return fmt.Errorf("%s: %w", p.arm, err)
			}
		}
		for _, p := range peers {
			if err := p.large(ctx, *bulk, got[p.arm]); err != nil {
				return fmt.Errorf("%s: %w", p.arm, err)
			}
		}
	}

	fmt.Printf("%s %s/%s, %d cores, %d rounds of %d small requests and %d MiB\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *rounds, *n, *bulk)
	fmt.Println("| arm | first byte p50 | p95 | added p50 | server CPU a request | added | download | server CPU a MiB |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	base := got["plain"]
	for _, arm := range arms {
		f := got[arm]
		fmt.Printf("| %s | %.3f ms | %.3f ms | %+.3f ms | %.3f ms | %+.3f ms | %.0f MiB/s | %.2f ms |\n", arm,
			median(f.ttfb50), median(f.ttfb95), median(f.ttfb50)-median(base.ttfb50),
			median(f.cpu), median(f.cpu)-median(base.cpu), median(f.bulk), median(f.bulkCPU))
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers: error:", err)
		os.Exit(1)
	}
}
