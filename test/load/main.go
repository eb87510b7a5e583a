// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command load puts a node and a gateway under load and says what it costs and
// whether anything went wrong.
//
//	go run ./test/load [-streams 5000] [-for 20s] [-requests 100000] [-within 60s] [-give-up 3m]
//
// The node and the gateway are processes of their own, and this one is all the
// clients: real ones, with verified keys, over HTTP on loopback. The node's
// engine is a speech of numbered words, ten a second on each stream, and every
// client checks that it hears each word once and in its place.
//
// First come streams that live side by side: they are started evenly over some
// seconds, counted while all live, and heard to their end. Memory is what the
// Go runtime of a process holds after a collection (heap, stacks, its own
// tables) and what the kernel counts as resident, above what it was before the
// streams; the kernel's socket buffers are in neither. Then come short streamed
// requests, as many as there is time for.
//
// It exits with 1 if there was a single error, and never for being slow: streams
// that have not ended when it gives up are cut and counted apart. On a machine
// that can't keep up, a client takes 15 seconds of silence for a lost
// connection, and that is an error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/seal"
)

const (
	wordEvery  = 100 * time.Millisecond
	shortWords = 20 // of a short request, all said at once
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load: error:", err)
		os.Exit(1)
	}
}

func run() error {
	streams := flag.Int("streams", 5000, "streams that live side by side")
	last := flag.Duration("for", 20*time.Second, "how long all of them live together")
	ramp := flag.Duration("ramp", 0, "over how long they are started (default: 2 ms for each)")
	requests := flag.Int("requests", 100_000, "short streamed requests")
	within := flag.Duration("within", time.Minute, "time for them, whether all have been made or not")
	atOnce := flag.Int("at-once", 1000, "how many of them are under way at a time")
	giveUp := flag.Duration("give-up", 3*time.Minute, "time for the live streams, from the first to the end of the last")
	role := flag.String("serve", "", "be the node or the gateway (used by the program itself)")
	words := flag.Int("words", 0, "words of a stream (likewise)")
	behind := flag.String("node", "", "the node's URL (likewise)")
	flag.Parse()

	ctx := context.Background()
	if *role != "" {
		return child(ctx, *role, *words, *behind)
	}
	fmt.Printf("%s %s/%s, %d cores, load average %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), loadAverage())
	var f faults
	if *streams > 0 {
		if *ramp == 0 {
			*ramp = time.Duration(*streams) * 2 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(ctx, *giveUp)
		defer cancel()
		if err := live(ctx, *streams, *ramp, *last, &f); err != nil {
			return err
		}
	}
	if *requests > 0 {
		if err := short(ctx, *requests, *atOnce, *within, &f); err != nil {
			return err
		}
	}
	return f.err()
}

// ---------------------------------------------------------------- live streams

// live holds streams open side by side and prints what they cost.
func live(ctx context.Context, streams int, ramp, last time.Duration, f *faults) error {
	// A stream that was started first lives from then to the end.
	words := int((ramp + last + 5*time.Second) / wordEvery)
	s, err := start(context.WithoutCancel(ctx), words, wordEvery)
	if err != nil {
		return err
	}
	defer s.stop()
	before, err := s.usage()
	if err != nil {
		return err
	}

	var wg sync.WaitGroup
	var begun, ended, cut atomic.Int64
	first := make([]time.Duration, streams)
	for i := range streams {
		wg.Go(func() {
			defer ended.Add(1)
			var err error
			first[i], err = listen(ctx, s.client, words, client.Options{}, func() { begun.Add(1) })
			if ctx.Err() != nil && err != nil {
				cut.Add(1)
				return
			}
			f.add(err)
		})
		time.Sleep(ramp / time.Duration(streams))
	}
	for begun.Load()+ended.Load() < int64(streams) && ended.Load() == 0 {
		time.Sleep(10 * time.Millisecond)
	}

	s.way.notice.Store(true)
	from, bytes, ownBefore := time.Now(), s.way.bytes.Load(), cpuTime()
	busy, err := s.usage()
	if err != nil {
		return err
	}
	// In the middle the servers say what they hold: that takes a collection,
	// which isn't part of what a stream costs.
	time.Sleep(last / 2)
	held, err := s.memory()
	if err != nil {
		return err
	}
	time.Sleep(last / 2)
	after, err := s.usage()
	if err != nil {
		return err
	}
	took, gone := time.Since(from), ended.Load()
	got, own := s.way.bytes.Load()-bytes, cpuTime()-ownBefore
	s.way.notice.Store(false)
	late := ctx.Err() != nil
	wg.Wait()

	records := float64(got) / recordSize
	due := float64(streams) * took.Seconds() / node.DefaultTick.Seconds()
	slices.Sort(first)
	fmt.Printf("%d live streams for %.0f s; %d of them ended meanwhile; errors: %d; still speaking when it was given up: %d\n\n",
		streams, took.Seconds(), gone, f.count(), cut.Load())
	if late {
		fmt.Printf("Not all could be started and counted before the time was up: there are no figures.\n\n")
		return nil
	}
	fmt.Printf("First word after %s at the median and %s at the 99th percentile, while they were being started.\n",
		first[streams/2].Round(100*time.Microsecond), first[streams*99/100].Round(100*time.Microsecond))
	fmt.Printf("%.0f records a second came, %.0f %% of those due at a tick of %v; time between two of one stream: half %s, 99 %% %s.\n\n",
		records/took.Seconds(), 100*records/due, node.DefaultTick, s.way.gapBelow(0.5), s.way.gapBelow(0.99))
	fmt.Println("| | Go memory a stream | resident a stream | cores | CPU a record |")
	fmt.Println("|---|---|---|---|---|")
	row := func(name string, memory, resident int64, cpu time.Duration) {
		fmt.Printf("| %s | %.1f KiB | %.1f KiB | %.2f | %.1f µs |\n", name,
			float64(memory)/float64(streams)/1024, float64(resident)/float64(streams)/1024,
			cpu.Seconds()/took.Seconds(), float64(cpu.Nanoseconds())/1000/records)
	}
	var sum usage
	for i, name := range s.names {
		u := usage{
			Memory: held[i].Memory - before[i].Memory, Resident: held[i].Resident - before[i].Resident,
			CPU: after[i].CPU - busy[i].CPU,
		}
		row(name, u.Memory, u.Resident, u.CPU)
		sum.Memory, sum.Resident, sum.CPU = sum.Memory+u.Memory, sum.Resident+u.Resident, sum.CPU+u.CPU
	}
	row("both", sum.Memory, sum.Resident, sum.CPU)
	fmt.Printf("| (all clients) | – | – | %.2f | %.1f µs |\n\n", own.Seconds()/took.Seconds(), float64(own.Nanoseconds())/1000/records)
	return nil
}

// recordSize is a stream's record as it comes out of HTTP's framing.
const recordSize = 1 << 10

// ---------------------------------------------------------------- short requests

// short makes short streamed requests, atOnce at a time, and prints how many
// and how fast.
func short(ctx context.Context, requests, atOnce int, within time.Duration, f *faults) error {
	s, err := start(ctx, shortWords, 0)
	if err != nil {
		return err
	}
	defer s.stop()
	before, err := s.usage()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var asked, heard atomic.Int64
	from, errors := time.Now(), f.count()
	for range atOnce {
		wg.Go(func() {
			for asked.Add(1) <= int64(requests) && time.Since(from) < within {
				_, err := listen(ctx, s.client, shortWords, client.Options{}, func() {})
				f.add(err)
				if err == nil {
					heard.Add(1)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(from)
	after, err := s.usage()
	if err != nil {
		return err
	}
	n := heard.Load()
	fmt.Printf("%d short streamed requests in %.1f s, %.0f a second, %d at once; errors: %d\n\n",
		n, took.Seconds(), float64(n)/took.Seconds(), atOnce, f.count()-errors)
	fmt.Printf("| | CPU a request, %d records of padding and text each |\n|---|---|\n", seal.TailRecords(1))
	for i, name := range s.names {
		fmt.Printf("| %s | %.3f ms |\n", name, float64((after[i].CPU-before[i].CPU).Microseconds())/1000/float64(max(n, 1)))
	}
	fmt.Println()
	return nil
}

// ---------------------------------------------------------------- processes

// processes are a node, a gateway, and a client of theirs.
type processes struct {
	names  []string
	all    []*process
	client *client.Client
	way    *transport
}

func start(ctx context.Context, words int, every time.Duration) (*processes, error) {
	s := &processes{names: []string{"node", "gateway"}}
	n, err := spawn(ctx, "-serve", "node", "-words", strconv.Itoa(words), "-for", every.String())
	if err != nil {
		return nil, err
	}
	s.all = append(s.all, n)
	g, err := spawn(ctx, "-serve", "gateway", "-node", n.url)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.all = append(s.all, g)
	s.way = newTransport(g.url)
	if s.client, err = newClient(ctx, s.way); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *processes) stop() {
	if s.client != nil {
		s.client.CloseNow()
	}
	for _, p := range s.all {
		p.stop()
	}
}

func (s *processes) usage() ([]usage, error)  { return s.each("usage") }
func (s *processes) memory() ([]usage, error) { return s.each("memory") }

func (s *processes) each(what string) ([]usage, error) {
	var out []usage
	for _, p := range s.all {
		u, err := p.ask(what)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// process is a server that runs this same program.
type process struct {
	url string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// usage is what a process says of itself.
type usage struct {
	CPU              time.Duration
	Memory, Resident int64 // bytes
}

func spawn(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, args...)}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	return p, p.out.Decode(&p.url)
}

func (p *process) ask(what string) (u usage, err error) {
	if _, err := fmt.Fprintln(p.in, what); err != nil {
		return u, err
	}
	return u, p.out.Decode(&u)
}

func (p *process) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// child is the program in one of its other roles. It serves until its standard
// input ends, and answers there what it uses.
func child(ctx context.Context, role string, words int, behind string) error {
	var url string
	var err error
	switch role {
	case "node":
		every, perr := time.ParseDuration(flag.Lookup("for").Value.String())
		if perr != nil {
			return perr
		}
		url, err = serveNode(ctx, newSpeech(ctx, words, every))
	case "gateway":
		url, err = serveGateway(ctx, behind)
	default:
		return fmt.Errorf("no role %q", role)
	}
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(url); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		u := usage{CPU: cpuTime()}
		if in.Text() == "memory" {
			runtime.GC()
			runtime.GC() // pools let go with the second
		}
		u.Memory, u.Resident = held()
		if err := out.Encode(u); err != nil {
			return err
		}
	}
	return nil
}

// held returns what the Go runtime holds in use, and what the kernel counts as
// resident.
func held() (memory, resident int64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	memory = int64(m.HeapInuse + m.StackInuse + m.MSpanInuse + m.MCacheInuse)
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			resident = pages * int64(os.Getpagesize())
		}
	}
	return memory, resident
}

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if errors.Is(err, os.ErrNotExist) {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:1], " ")
}
