// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/auto"
	"github.com/sotto-chat/sotto/engine/builtin"
	"github.com/sotto-chat/sotto/engine/llamaserver"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/keylog/publish"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/relay"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/store/spent"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/web"
)

const (
	// demoIssuer signs the demo's tokens.
	demoIssuer = "tokens.sotto.example"
	// demoGuests is how many messages a day a terminal has that isn't linked to an
	// account: those of the person whose machine this is.
	demoGuests = 1000
)

// demo runs account, relay, gateway, a node, and the public log and the key log with
// their witnesses in this process. They talk over loopback HTTP like the separate
// programs would, so that what is seen here is what happens there.
func demo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, logger := flags("demo", stderr)
	listen := fs.String("listen", "127.0.0.1:8787", "loopback `address` of the page and the API")
	origin := fs.String("origin", "", "the page's `origin` where it isn't http://localhost:PORT, as behind a forwarded port")
	data := fs.String("data", "", "`folder` for sealed history (default: sotto in the user's data folder)")
	spec := fs.String("engine", "auto", "auto, builtin, or the `URL` of an OpenAI-compatible server")
	model := fs.String("model", "", "GGUF `file` to run when no server is found")
	tick := fs.Duration("tick", node.DefaultTick, "`time` between two records of an answer; a shorter one hides less of how long the model takes")
	debug := fs.String("debug", "", "loopback `address` for /metrics; none by default")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	log := logger()

	eng, err := auto.Open(ctx, auto.Options{Options: engine.Options{Spec: *spec}, ModelFile: *model, Builtin: builtin.Open, Child: llamaserver.Start, Logger: log})
	if err != nil {
		return err
	}
	defer eng.Close()

	l, err := listenLoopback(*listen)
	if err != nil {
		return err
	}
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	if *origin == "" {
		*origin = "http://localhost:" + port
	}
	at, err := parseOrigin(*origin)
	if err != nil {
		return err
	}

	dir, err := dataFolder(*data)
	if err != nil {
		return err
	}
	relayAt := at.JoinPath("relay").String()
	public, err := startPublicLog(ctx, dir, eng, log, relayAt)
	if err != nil {
		lines.To(log).Warn("the demo runs without a public log", lines.Err(err))
		public = &publicLog{close: func() {}}
	}
	defer public.close()

	n, err := node.New(node.Config{Tick: *tick, Engine: eng, Evidence: forge.Evidence, Release: public.release, Checkpoint: public.checkpoint, Logger: log.With("role", "node")})
	if err != nil {
		return err
	}
	inside, err := listenLoopback("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer inside.Close()

	self := "http://127.0.0.1:" + port
	seeds, err := ohttpSeeds([]string{filepath.Join(dir, "ohttp-key")})
	if err != nil {
		return err
	}
	cfg := gateway.Config{Nodes: []string{"http://" + inside.Addr().String()}, Log: public.url, LogEvery: time.Second, OHTTP: seeds, Logger: log.With("role", "gateway")}
	accounts := account.Config{Origin: at.String(), Relay: &account.Relay{URL: relayAt, Operator: "this demo, on the same machine"}, Logger: log.With("role", "account")}
	if public.keyURL != "" { // without a key log nobody could tell whose keys a token's are
		if cfg.KeyLog, err = gateway.NewKeyLog(public.keyURL, public.keyPin); err != nil {
			return err
		}
		file, err := filepath.Abs(filepath.Join(dir, "spent.db"))
		if err != nil {
			return err
		}
		tokens, err := spent.Open(ctx, "sqlite:"+file)
		if err != nil {
			return err
		}
		defer tokens.Close()
		cfg.Spent = tokens
		cfg.Issuers = []gateway.Issuer{{Product: demoProduct, Name: demoIssuer, Keys: cfg.KeyLog}}
		accounts.Tokens = &account.Tokens{Issuer: demoIssuer, Product: demoProduct}
		accounts.Guests = demoGuests
	}
	g, err := gateway.New(cfg)
	if err != nil {
		return err
	}
	// All of a demo's people come from this machine, so limits by address would be
	// limits for all of them together.
	r, err := relay.New(relay.Config{Gateway: self, Origins: []string{at.String()}, Limits: relay.Limits{AtOnce: 1e6, PerSecond: 1e6}, Logger: log.With("role", "relay")})
	if err != nil {
		return err
	}
	defer r.Close()

	db, err := store.Open(ctx, filepath.Join(dir, "sotto.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	accounts.Store = db
	acc, err := account.New(accounts)
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/api/", acc.Handler())
	mux.Handle("/sotto/", g.Handler())
	mux.Handle("/relay/", http.StripPrefix("/relay", r.Handler()))
	mux.Handle("/relay", http.StripPrefix("/relay", r.Handler()))
	mux.Handle("/", web.Handler())

	tasks := []task{
		serving(server(onlyHosts(mux, at, "127.0.0.1:"+port, "localhost:"+port, "[::1]:"+port)), l),
		serving(server(n.Handler()), inside),
		n.Run, g.Run, acc.Run, closing(acc),
	}
	if public.run != nil {
		tasks = append(tasks, public.run)
	}
	run := begin(ctx, tasks...)
	tasks = []task{run}
	if public.keyURL != "" {
		pub, err := public.publisher(self, demoIssuer, acc.IssuerKey, log.With("role", "publisher"))
		if err != nil {
			return err
		}
		// Who asks in the first second would find no key for today.
		first, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := keysThere(first, pub, cfg.KeyLog); err != nil {
			lines.To(log).Warn("the demo's key log has nothing for today yet", lines.Err(err))
		}
		cancel()
		tasks = append(tasks, pub.Run)
	}
	if *debug != "" {
		dl, err := listenLoopback(*debug)
		if err != nil {
			return err
		}
		defer dl.Close()
		tasks = append(tasks, serving(server(metrics(n.WriteMetrics, g.WriteMetrics)), dl))
		lines.To(log).Info("metrics", lines.Own("url", "http://"+dl.Addr().String()+"/metrics"))
	}
	lines.To(log).Info("Sotto is ready: open the page, or ask in a terminal",
		lines.Own("page", at.String()), lines.Own("listen", l.Addr().String()), lines.Own("engine", eng.Name()),
		lines.Own("data", dir), lines.Own("hardware", "demo, not private"),
		lines.Own("public log", public.url+", demo: its keys, and those of its witnesses, are all on this machine, so it proves nothing"))
	return together(ctx, tasks...)
}

// keysThere publishes what the key log has to have, and waits until the gateway has
// seen it there.
func keysThere(ctx context.Context, pub *publish.Publisher, log *gateway.KeyLog) error {
	if err := pub.Step(ctx); err != nil {
		return err
	}
	for {
		if _, _, err := log.Day(token.DayOf(time.Now())); err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
