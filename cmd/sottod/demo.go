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

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/attest/software/forge"
	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/engine/auto"
	"github.com/sotto-chat/sotto/engine/builtin"
	"github.com/sotto-chat/sotto/engine/llamaserver"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/web"
)

// demo runs account, gateway, a node and the public log with its witnesses in this
// process. They talk over loopback HTTP like the separate programs would, so that
// what is seen here is what happens there.
func demo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, logger := flags("demo", stderr)
	listen := fs.String("listen", "127.0.0.1:8787", "loopback `address` of the page and the API")
	origin := fs.String("origin", "", "the page's `origin` where it isn't http://localhost:PORT, as behind a forwarded port")
	data := fs.String("data", "", "`folder` for sealed history (default: sotto in the user's data folder)")
	spec := fs.String("engine", "auto", "auto, builtin, or the `URL` of an OpenAI-compatible server")
	model := fs.String("model", "", "GGUF `file` to run when no server is found")
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
	public, err := startPublicLog(ctx, dir, eng, log)
	if err != nil {
		lines.To(log).Warn("the demo runs without a public log", lines.Err(err))
		public = &publicLog{close: func() {}}
	}
	defer public.close()

	n, err := node.New(node.Config{Engine: eng, Evidence: forge.Evidence, Release: public.release, Checkpoint: public.checkpoint, Logger: log.With("role", "node")})
	if err != nil {
		return err
	}
	inside, err := listenLoopback("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer inside.Close()

	g, err := gateway.New(gateway.Config{Nodes: []string{"http://" + inside.Addr().String()}, Log: public.url, Logger: log.With("role", "gateway")})
	if err != nil {
		return err
	}

	db, err := store.Open(ctx, filepath.Join(dir, "sotto.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	acc, err := account.New(account.Config{Store: db, Origin: at.String(), Logger: log.With("role", "account")})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/api/", acc.Handler())
	mux.Handle("/sotto/", g.Handler())
	mux.Handle("/", web.Handler())

	tasks := []task{
		serving(server(onlyHosts(mux, at, "127.0.0.1:"+port, "localhost:"+port, "[::1]:"+port)), l),
		serving(server(n.Handler()), inside),
		n.Run, g.Run, closing(acc),
	}
	if public.run != nil {
		tasks = append(tasks, public.run)
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
