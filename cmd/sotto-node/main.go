// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Sotto-node runs inside the machine that answers. It makes keys in memory, has
// the machine's hardware vouch for them, opens the requests that are sealed to
// them, passes them to a model server beside it, and seals the answers.
//
//	sotto-node -engine http://127.0.0.1:8000 [flags]
//
// It is the only program of Sotto that sees what people write, so it is small,
// keeps nothing, and has no flag that makes it say more. Every package in it is
// listed in deps.txt beside this file.
//
// sotto-node -h says which flags there are, docs/hardware.md how hardware and the
// public log are asked, and what /readyz and the metrics say when they are silent. A
// node whose hardware can't be asked ends with an error: one that can't prove what it
// is protects nobody. One that is built with -tags demo vouches for itself where it
// finds no hardware, which proves nothing; clients refuse it unless told not to.
//
// # HTTP
//
// GET /sotto/v1/evidence and POST /sotto/v1/seal are for gateways (spec/seal.md,
// spec/evidence.md); GET /livez and GET /readyz for whoever watches over the
// node. There is no TLS: what matters is sealed, and what isn't is public.
//
// # Signals and ends
//
// SIGINT and SIGTERM stop accepting requests, wait for answers under way for
// at most the drain time, erase the keys, and end with 0. A second signal ends
// at once. Ends: 0 good, 1 an error, 2 wrong flags.
//
// Logs are JSON lines on standard output. No line derives from a request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/internal/connlimit"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/node/hardware"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	engine, engineKeyFile string
	listen, debugListen   string
	release               string
	checkpoint            func(context.Context) ([]byte, error) // of the public log; may be nil
	hardware              hardware.Options
	keepAnswers, drain    time.Duration
	keptMemory            int64
	maxRequests           int
	version               bool
}

var errUsage = errors.New("usage")

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("sotto-node", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.engine, "engine", "", "the model server's `URL`")
	f.StringVar(&o.engineKeyFile, "engine-key-file", "", "a `file` with the model server's bearer key")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8788", "where gateways reach this node")
	f.StringVar(&o.debugListen, "debug-listen", "", "where the operator reads metrics; off when empty")
	f.Func("platforms", "exactly the `kinds` of hardware to use, with commas between; all that are found when not given", func(s string) error {
		o.hardware.Platforms = strings.Split(s, ",")
		return nil
	})
	f.StringVar(&o.hardware.Collateral, "collateral", "", "`folder` of what makers publish about their hardware")
	f.StringVar(&o.release, "release", "none", "`digest` of the release that this program belongs to")
	f.Func("log", "the public log's `URL`; none by default", func(s string) (err error) {
		o.checkpoint, err = node.FollowLog(s)
		return err
	})
	f.DurationVar(&o.keepAnswers, "keep-answers", node.DefaultKeepAnswers, "how long a finished answer can be fetched again")
	f.Int64Var(&o.keptMemory, "kept-memory", 256, "`MiB` for kept answers")
	f.IntVar(&o.maxRequests, "max-requests", 8192, "requests under way at once")
	f.DurationVar(&o.drain, "drain", 30*time.Second, "how long to wait for answers under way at the end")
	f.BoolVar(&o.version, "version", false, "print the version and end")
	if err := f.Parse(args); err != nil {
		return o, errUsage // the flag package has said why
	}
	problem := ""
	switch {
	case f.NArg() > 0:
		problem = fmt.Sprintf("%q is not a flag", f.Arg(0))
	case o.version:
	case o.engine == "":
		problem = "say which model server to use, for example -engine http://127.0.0.1:8000"
	case o.engine == "builtin":
		problem = "the built-in demo model is not part of this program; sottod demo has it"
	case o.keepAnswers <= 0 || o.drain < 0:
		problem = "a time is not above zero"
	case o.keptMemory < 1 || o.keptMemory > 1<<20 || o.maxRequests < 1 || o.maxRequests > 1<<20:
		problem = "-kept-memory and -max-requests are between 1 and 1048576"
	}
	if problem != "" {
		fmt.Fprintf(stderr, "sotto-node: error: %s\n", problem)
		return o, errUsage
	}
	return o, nil
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		return 2
	}
	if o.version {
		fmt.Fprintln(stdout, "sotto-node", version())
		return 0
	}
	if err := serve(ctx, o, slog.New(slog.NewJSONHandler(stdout, nil))); err != nil {
		fmt.Fprintf(stderr, "sotto-node: error: %v\n", err)
		if hint := (*hintError)(nil); errors.As(err, &hint) {
			fmt.Fprintf(stderr, "sotto-node: hint: %s\n", hint.hint)
		}
		return 1
	}
	return 0
}

// hintError is an error with advice.
type hintError struct{ what, hint string }

func (e *hintError) Error() string { return e.what }

// serve runs a node until ctx ends.
func serve(ctx context.Context, o options, logger *slog.Logger) error {
	log := lines.To(logger)
	hw, err := detect(o.hardware)
	if err != nil {
		return err
	}
	key, err := readKey(o.engineKeyFile)
	if err != nil {
		return err
	}
	eng, err := engine.Open(engine.Options{Spec: o.engine, APIKey: key})
	if err != nil {
		return fmt.Errorf("opening the engine: %w", err)
	}
	defer eng.Close()
	n, err := node.New(node.Config{
		Engine: eng, Evidence: hw.evidence, Checkpoint: o.checkpoint, Release: o.release, Logger: logger, KeepAnswers: o.keepAnswers,
		Limits: node.Limits{Requests: o.maxRequests, KeptBytes: o.keptMemory << 20},
	})
	if err != nil {
		return err
	}
	listen, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	// Twice the requests: gateways keep idle connections ready.
	public := newServer(n.Handler())
	servers := []*http.Server{public}
	failed := make(chan error, 2)
	go func() { failed <- public.Serve(connlimit.Listen(listen, 2*o.maxRequests)) }()

	if o.debugListen != "" {
		listen, err := net.Listen("tcp", o.debugListen)
		if err != nil {
			public.Close()
			return err
		}
		private := newServer(debugHandler(n))
		servers = append(servers, private)
		go func() { failed <- private.Serve(connlimit.Listen(listen, 64)) }()
		log.Info("debug listener", lines.Own("listen", listen.Addr().String()))
	}

	// Keys outlive ctx by the drain time: answers under way may be resumed.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	over := make(chan error, 1)
	go func() { over <- n.Run(life) }()
	log.Info("sotto-node is up", lines.Own("listen", listen.Addr().String()), lines.Own("node", n.ID()), lines.Own("platforms", hw.platforms),
		lines.Own("engine", eng.Name()), lines.Own("release", o.release), lines.Own("version", version()))
	if hw.warning != "" {
		log.Warn("this node is not private", lines.Own("why", hw.warning))
	}

	select {
	case <-ctx.Done():
		log.Info("stopping", lines.For("drain", o.drain))
		err = nil
	case err = <-failed:
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.drain)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(drain) != nil {
			s.Close()
		}
	}
	end()
	return errors.Join(err, <-over)
}

// newServer bounds what a connection may send and how long it may take. The
// handlers bound bodies and answers themselves.
func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, 0), // says who connected
	}
}

// debugHandler is what the operator sees.
func debugHandler(n *node.Node) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		lines.FiguresOf("node", w).Each("build_info", "gauge", "The version that runs.", "version")(version(), 1)
		n.WriteMetrics(w)
	})
	mux.Handle("GET /livez", n.Handler())
	mux.Handle("GET /readyz", n.Handler())
	return mux
}

// readKey reads a secret from a file: one line.
func readKey(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := collateral.ReadFile(file, 4096)
	if err != nil {
		return "", fmt.Errorf("reading the engine's key: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" || strings.ContainsAny(key, "\r\n") {
		return "", fmt.Errorf("the engine's key in %s is not one line", file)
	}
	return key, nil
}

// version is what the build says of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v = s.Value
		}
	}
	return v
}
