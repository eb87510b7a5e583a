// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command peers measures one sealed hop against plain TLS and against EHBP
// (Tinfoil's Encrypted HTTP Body Protocol), side by side in one run.
//
//	go run . [-n 300] [-rounds 11] [-bulk 32] [-pause 1ms] [-arms plain,ehbp,…]
//
// The arms answer the same requests with the same bytes over HTTP/1.1 and TLS
// 1.3 on loopback, from a process of their own each:
//
//	plain          TLS, and nothing else
//	ehbp           TLS, body sealed by EHBP's own middleware and transport
//	sotto          TLS, sealed by this module's client and opened by its node
//	sotto-k3       the same, sealed to the keys of three nodes
//	plain-proxy    TLS, net/http/httputil's proxy, the plain server behind it
//	sotto-gateway  TLS, this module's gateway, its node behind it
//
// In the last two the second hop is HTTP without TLS in the same process, and
// what they add is counted from the proxy.
//
// The rounds go through the arms in turn, so that a busy moment hits all alike;
// a figure is the median of its rounds, and what an arm adds is the median of
// the differences within a round. Time to first byte is from the call to the
// first byte of the answer's content. Between two requests of any arm is a
// pause, as a person makes one: Sotto's client uses it to prepare the next
// request, which -pause 0 leaves little time for. Server CPU is the process's
// user and system time over the round, divided by its requests; client CPU is
// that of this process.
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
	"net/http/httputil"
	"net/url"
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
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/seal/bhttp"

	ehbpclient "github.com/tinfoilsh/encrypted-http-body-protocol/client"
	"github.com/tinfoilsh/encrypted-http-body-protocol/identity"
	"github.com/tinfoilsh/encrypted-http-body-protocol/protocol"
)

const (
	armPlain   = "plain"
	armEHBP    = "ehbp"
	armSotto   = "sotto"
	armThree   = "sotto-k3"
	armProxy   = "plain-proxy"
	armGateway = "sotto-gateway"
)

var arms = []string{armPlain, armEHBP, armSotto, armThree, armProxy, armGateway}

// baseOf is the arm that another is compared with: the one with as many hops.
func baseOf(arm string) string {
	if arm == armGateway || arm == armProxy {
		return armProxy
	}
	return armPlain
}

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
	case armPlain:
		mux.Handle("/", plain)
	case armProxy:
		behind, err := url.Parse(httptest.NewServer(plain).URL)
		if err != nil {
			return err
		}
		mux.Handle("/", &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(behind) },
			Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
		})
	case armEHBP:
		id, err := identity.NewIdentity()
		if err != nil {
			return err
		}
		mux.HandleFunc(protocol.KeysPath, id.ConfigHandler)
		mux.Handle("/", id.Middleware()(plain))
	case armSotto, armThree, armGateway:
		count := 1
		if arm == armThree {
			count = 3
		}
		var nodes []*node.Node
		for range count {
			n, err := node.New(node.Config{Engine: fake{bulk}, Evidence: forge.Evidence, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			go n.Run(context.Background())
			nodes = append(nodes, n)
		}
		if arm == armGateway {
			g, err := gateway.New(gateway.Config{Nodes: []string{httptest.NewServer(nodes[0].Handler()).URL}})
			if err != nil {
				return err
			}
			go g.Run(context.Background())
			mux.Handle("/", g.Handler())
			break
		}
		// One hop is measured: the first of the nodes does what a gateway
		// does besides.
		mux.Handle("/", nodes[0].Handler())
		mux.HandleFunc("GET /sotto/v1/nodes", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{"v": 1, "nodes": list(nodes)})
		})
	}
	mux.HandleFunc("GET /cpu", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, int64(cpuTime()))
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

// list is what a gateway's list says of nodes.
func list(nodes []*node.Node) []any {
	var out []any
	for _, n := range nodes {
		rec := httptest.NewRecorder()
		n.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/sotto/v1/evidence", nil))
		var e struct {
			Bundles []string `json:"bundles"`
		}
		if json.Unmarshal(rec.Body.Bytes(), &e) == nil {
			out = append(out, map[string]any{"id": n.ID(), "bundles": e.Bundles})
		}
	}
	return out
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
	case armPlain, armProxy:
		p.ask = p.post(p.http)
	case armEHBP:
		sealed, err := ehbpclient.NewTransport(at.URL, ehbpclient.WithHTTPClient(p.http))
		if err != nil {
			return nil, err
		}
		p.ask = p.post(&http.Client{Transport: sealed})
	default:
		c := client.New(client.Config{
			Transport: nethttp.New(at.URL),
			Policy:    attest.Policy{AllowSoftware: true},
			Platforms: []attest.Platform{software.Platform{}},
		})
		for { // a gateway needs a moment to hear of its nodes
			if _, err := c.Verify(ctx); err == nil {
				break
			} else if ctx.Err() != nil {
				return nil, err
			}
			time.Sleep(50 * time.Millisecond)
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
	ttfb50, ttfb95, cpu, own []float64 // milliseconds; cpu is the server's, own the client's
	bulk, bulkCPU            []float64 // MiB/s, ms of server CPU per MiB
}

// small asks n small questions, one after the other on a warm connection.
func (p *peer) small(ctx context.Context, n int, pause time.Duration, f *figures) error {
	before, err := p.cpu()
	if err != nil {
		return err
	}
	own := cpuTime()
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
		if pause > 0 {
			time.Sleep(pause)
		}
	}
	own = cpuTime() - own
	after, err := p.cpu()
	if err != nil {
		return err
	}
	slices.Sort(times)
	f.ttfb50 = append(f.ttfb50, times[n/2])
	f.ttfb95 = append(f.ttfb95, times[n*95/100])
	f.cpu = append(f.cpu, ms(after-before)/float64(n))
	f.own = append(f.own, ms(own)/float64(n))
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

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// added is the median of what x is above base in the same round.
func added(x, base []float64) float64 {
	var d []float64
	for i := range x {
		d = append(d, x[i]-base[i])
	}
	return median(d)
}

func run() error {
	n := flag.Int("n", 300, "small requests a round")
	rounds := flag.Int("rounds", 11, "rounds")
	bulk := flag.Int("bulk", 32, "MiB of a large answer")
	pause := flag.Duration("pause", time.Millisecond, "between two small requests")
	only := flag.String("arms", strings.Join(arms, ","), "the arms to run")
	arm := flag.String("serve", "", "be this arm's server (used by the program itself)")
	flag.Parse()
	if *arm != "" {
		return serve(*arm, *bulk)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	arms := strings.Split(*only, ",")
	for _, arm := range arms {
		if !slices.Contains(arms, baseOf(arm)) {
			return fmt.Errorf("%s is compared with %s, which isn't among the arms", arm, baseOf(arm))
		}
	}
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
		if err := p.small(ctx, *n/2+1, *pause, new(figures)); err != nil { // warm
			return fmt.Errorf("%s: %w", arm, err)
		}
		peers, got[arm] = append(peers, p), new(figures)
	}
	for range *rounds {
		for _, p := range peers {
			if err := p.small(ctx, *n, *pause, got[p.arm]); err != nil {
				return fmt.Errorf("%s: %w", p.arm, err)
			}
		}
		for _, p := range peers {
			if err := p.large(ctx, *bulk, got[p.arm]); err != nil {
				return fmt.Errorf("%s: %w", p.arm, err)
			}
		}
	}

	fmt.Printf("%s %s/%s, %d cores, %d rounds of %d small requests with a pause of %v and %d MiB\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *rounds, *n, *pause, *bulk)
	fmt.Println("| arm | first byte p50 | p95 | added p50 | server CPU a request | added | requests/s a core | client CPU a request | download | server CPU a MiB | MB/s a core |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, arm := range arms {
		f, base := got[arm], got[baseOf(arm)]
		fmt.Printf("| %s | %.3f ms | %.3f ms | %+.3f ms | %.3f ms | %+.3f ms | %.0f | %.3f ms | %.0f MiB/s | %.2f ms | %.0f |\n", arm,
			median(f.ttfb50), median(f.ttfb95), added(f.ttfb50, base.ttfb50),
			median(f.cpu), added(f.cpu, base.cpu), 1000/median(f.cpu), median(f.own),
			median(f.bulk), median(f.bulkCPU), 1000/median(f.bulkCPU)*1.048576)
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers: error:", err)
		os.Exit(1)
	}
}
