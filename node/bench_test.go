// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
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
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/envelope"
)

// instant is an engine that has its whole answer ready.
type instant struct {
	contentType string
	body        []byte
}

func (e *instant) Name() string                                   { return "instant" }
func (e *instant) Close() error                                   { return nil }
func (e *instant) Models(context.Context) ([]engine.Model, error) { return nil, nil }
func (e *instant) Do(context.Context, *engine.Request) (*engine.Response, error) {
	return &engine.Response{Status: 200, ContentType: e.contentType, Body: io.NopCloser(bytes.NewReader(e.body))}, nil
}

// firstPiece is a ResponseWriter that notices the first flush and keeps nothing.
type firstPiece struct {
	header http.Header
	n      int
	once   sync.Once
	first  chan struct{}
}

func newFirstPiece() *firstPiece {
	return &firstPiece{header: make(http.Header), first: make(chan struct{})}
}
func (w *firstPiece) Header() http.Header         { return w.header }
func (w *firstPiece) WriteHeader(int)             {}
func (w *firstPiece) Write(b []byte) (int, error) { w.n += len(b); return len(b), nil }
func (w *firstPiece) FlushError() error           { w.once.Do(func() { close(w.first) }); return nil }

func benchRequest(msg []byte) *http.Request {
	r := httptest.NewRequest("POST", "/sotto/v1/seal", bytes.NewReader(msg))
	r.Header.Set("Content-Type", envelope.RequestType)
	return r
}

// BenchmarkRequest is one whole sealed request through the node's handler, in
// memory: opening, asking an instant engine, sealing all of a small answer that
// isn't streamed. The client's sealing is not counted.
func BenchmarkRequest(b *testing.B) {
	n := newNode(b, &instant{"application/json", []byte(`{"ok":true}`)}, nil)
	keys := keysOf(b, n)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		msg, _ := sealFor(b, keys, post("/v1/chat/completions", "{}"))
		r, w := benchRequest(msg), newFirstPiece()
		b.StartTimer()
		n.Handler().ServeHTTP(w, r)
	}
}

// BenchmarkFirstRecord is the time from a sealed request to the flush of the
// first record of a stream, in memory: what sealing adds to the time to first
// byte, on the node.
func BenchmarkFirstRecord(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("kept=%v", kept), func(b *testing.B) {
			n := newNode(b, &instant{"text/event-stream", []byte(delta("Hi") + end)}, nil)
			keys := keysOf(b, n)
			for b.Loop() {
				b.StopTimer()
				id := ""
				if kept {
					id = randomID()
				}
				msg, _ := sealFor(b, keys, chat(id))
				ctx, cancel := context.WithCancel(b.Context())
				r, w := benchRequest(msg).WithContext(ctx), newFirstPiece()
				done := make(chan struct{})
				b.StartTimer()
				go func() { defer close(done); n.Handler().ServeHTTP(w, r) }()
				<-w.first
				b.StopTimer()
				cancel()
				<-done
				b.StartTimer()
			}
		})
	}
}

// BenchmarkRecord is one tick of a stream: taking what waits, framing, sealing,
// writing. It must not allocate.
func BenchmarkRecord(b *testing.B) {
	n := newNode(b, &instant{}, nil)
	opened := openedRequest(b, n)
	sealer, err := opened.NewAnswer(seal.ClassStream)
	if err != nil {
		b.Fatal(err)
	}
	p := &pacer{ready: make(chan struct{}), room: make(chan struct{}, 1)}
	out := newWire(newFirstPiece())
	words := []byte(delta("some words that came in the last forty milliseconds"))
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		p.q.push(words)
		s := streamScratch.Get().(*scratch)
		data, _, _ := p.next(s.data[:0:sealer.Capacity()])
		s.rec = sealer.AppendRecord(s.rec[:0], data, false, false)
		if err := out.record(s.rec, false); err != nil {
			b.Fatal(err)
		}
		streamScratch.Put(s)
	}
}

func openedRequest(b *testing.B, n *Node) *seal.Opened {
	b.Helper()
	msg, _ := sealFor(b, keysOf(b, n), chat(""))
	opened, err := seal.OpenRequest(bytes.NewReader(msg), func(id seal.KeyID) *seal.PrivateKey { return n.keys.lookup(id, time.Now()) })
	if err != nil {
		b.Fatal(err)
	}
	return opened
}

// BenchmarkBulk is a large answer at full speed, in memory.
func BenchmarkBulk(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	n := newNode(b, &instant{}, nil)
	opened := openedRequest(b, n)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		rep := &reply{status: 200, class: seal.ClassBulk, text: body}
		if err := n.sendBulk(b.Context(), opened, rep, newWire(newFirstPiece())); err != nil {
			b.Fatal(err)
		}
	}
}

// slow is an engine whose streams say a word every 50 ms until they are told
// to stop. It costs little: one timer for all, one goroutine for each.
type slow struct {
	mu   sync.Mutex
	tick chan struct{} // closed at each word
}

func newSlow(ctx context.Context) *slow {
	e := &slow{tick: make(chan struct{})}
	go func() {
		for ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			e.mu.Lock()
			close(e.tick)
			e.tick = make(chan struct{})
			e.mu.Unlock()
		}
	}()
	return e
}

func (e *slow) Name() string                                   { return "slow" }
func (e *slow) Close() error                                   { return nil }
func (e *slow) Models(context.Context) ([]engine.Model, error) { return nil, nil }
func (e *slow) Do(ctx context.Context, _ *engine.Request) (*engine.Response, error) {
	return &engine.Response{Status: 200, ContentType: "text/event-stream", Body: &slowBody{e, ctx}}, nil
}

type slowBody struct {
	e   *slow
	ctx context.Context
}

var slowWord = []byte(delta("word "))

func (b *slowBody) Read(p []byte) (int, error) {
	b.e.mu.Lock()
	tick := b.e.tick
	b.e.mu.Unlock()
	select {
	case <-tick:
		return copy(p, slowWord), nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}
func (b *slowBody) Close() error { return nil }

// BenchmarkLiveStreams holds many streams open over real connections on
// loopback for some seconds and reports what one costs the node's process:
// memory (heap, stacks and their bookkeeping), processor time, and how many
// records came of those that were due. The clients are another process. With
// engine=memory the engine is in this one and costs next to nothing; with
// engine=http it is a model server in the other process, and its connections
// count.
//
//	SOTTO_STREAMS=5000 go test ./node -run - -bench LiveStreams -benchtime 1x
func BenchmarkLiveStreams(b *testing.B) {
	b.Run("engine=memory", func(b *testing.B) { liveStreams(b, false) })
	b.Run("engine=http", func(b *testing.B) { liveStreams(b, true) })
}

func liveStreams(b *testing.B, overHTTP bool) {
	streams := 1000
	if s := os.Getenv("SOTTO_STREAMS"); s != "" {
		var err error
		if streams, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	const hold = 5 * time.Second
	for b.Loop() {
		client := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "^BenchmarkStreamClients$", "-test.timeout", "5m")
		client.Env = append(os.Environ(), "SOTTO_STREAM_CLIENTS="+strconv.Itoa(streams))
		client.Stderr = os.Stderr
		in, err := client.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		out, err := client.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := client.Start(); err != nil {
			b.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan()
		var e engine.Engine = newSlow(b.Context())
		if overHTTP {
			if e, err = engine.Open(engine.Options{Spec: lines.Text()}); err != nil {
				b.Fatal(err)
			}
		}
		n := newNode(b, e, func(c *Config) { c.Tick = DefaultTick })
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		s := &http.Server{Handler: n.Handler()}
		go s.Serve(l)
		before := memory()
		fmt.Fprintln(in, l.Addr().String())
		received := func() (bytes float64) {
			for lines.Scan() {
				if k, _ := fmt.Sscanf(lines.Text(), "received %f", &bytes); k == 1 {
					return bytes
				}
			}
			b.Fatal("the clients have ended")
			return 0
		}
		received() // all streams run
		bytes, start, cpu := 0.0, time.Now(), cpuTime()
		for time.Since(start) < hold {
			bytes += received()
		}
		took, used := time.Since(start), cpuTime()-cpu
		after := memory()
		due := float64(streams) * took.Seconds() / DefaultTick.Seconds()
		b.ReportMetric(float64(after-before)/float64(streams)/1024, "KiB/stream")
		b.ReportMetric(100*bytes/(1024+8)/due, "%records")
		b.ReportMetric(used.Seconds()/took.Seconds(), "cores")
		b.ReportMetric(0, "ns/op")
		client.Process.Kill()
		client.Wait()
		s.Close()
	}
}

// BenchmarkStreamClients is no benchmark but the clients of BenchmarkLiveStreams and its
// model server, in a process of their own. It prints the model server's address
// and reads the node's. Then it prints each half second how many bytes came
// since the last line; the first of these lines comes when all streams run.
func BenchmarkStreamClients(b *testing.B) {
	streams, err := strconv.Atoi(os.Getenv("SOTTO_STREAM_CLIENTS"))
	if err != nil {
		b.Skip("only for BenchmarkLiveStreams")
	}
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for rc := http.NewResponseController(w); ; time.Sleep(50 * time.Millisecond) {
			if _, err := w.Write(slowWord); err != nil || rc.Flush() != nil {
				return
			}
		}
	}))
	fmt.Println(model.URL)
	var addr string
	if _, err := fmt.Scanln(&addr); err != nil {
		b.Fatal(err)
	}
	res, err := http.Get("http://" + addr + "/sotto/v1/evidence")
	if err != nil {
		b.Fatal(err)
	}
	var doc evidenceDoc
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		b.Fatal(err)
	}
	key, _ := attest.Verify(doc.Bundles[0], attest.Policy{AllowSoftware: true}, time.Now(), software.Platform{})
	keys := []seal.Recipient{{ID: key.ID(), PublicKey: key.PublicKey()}}

	var received atomic.Int64
	var running sync.WaitGroup
	running.Add(streams)
	messages := make(chan []byte, 64)
	go func() {
		for range streams {
			msg, _ := sealFor(b, keys, chat(""))
			messages <- msg
		}
	}()
	for range streams {
		go func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				panic(err)
			}
			msg := <-messages
			head := fmt.Appendf(nil, "POST /sotto/v1/seal HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", envelope.RequestType, len(msg))
			if _, err := c.Write(append(head, msg...)); err != nil {
				panic(err)
			}
			buf := make([]byte, 1100)
			for first := true; ; first = false {
				k, err := c.Read(buf)
				if err != nil {
					panic(err)
				}
				received.Add(int64(k))
				if first {
					running.Done()
				}
			}
		}()
	}
	running.Wait()
	for last := received.Load(); ; time.Sleep(500 * time.Millisecond) {
		now := received.Load()
		fmt.Println("received", now-last)
		last = now
	}
}

// memory is what the runtime has from the system and has not given back, after
// a few collections: each halves stacks that were once needed and no longer are.
func memory() uint64 {
	for range 6 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse + m.MSpanInuse + m.MCacheInuse
}

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
