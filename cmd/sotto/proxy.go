// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/proxy"
)

// proxy serves OpenAI's API to programs on this machine.
func (a *app) proxy(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	listen := fs.String("listen", "127.0.0.1:8788", "listen on the loopback `ADDR`")
	env := fs.Bool("env", false, "print the lines that set OPENAI_BASE_URL and OPENAI_API_KEY, and end")
	var origins []string
	fs.Func("allow-origin", "let pages of the web origin `ORIGIN` in, compared exactly", func(s string) error {
		origins = append(origins, s)
		return nil
	})
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	key, err := proxyKey()
	if err != nil {
		return err
	}
	if *env {
		fmt.Fprint(a.out, envLines(*listen, key))
		return nil
	}
	c, err := a.client(server)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := proxy.New(proxy.Config{
		Client: c, Key: key, AllowedOrigins: origins, AllowedHosts: allowedHosts(),
	})
	if err != nil {
		return usageError(strings.TrimPrefix(err.Error(), "proxy: "), "")
	}
	l, err := proxy.Listen(*listen)
	switch {
	case errors.Is(err, proxy.ErrNotLoopback):
		return usageError(err.Error(), "What comes in here is not sealed yet, so it must not come over a network. Listen on 127.0.0.1.")
	case err != nil:
		if _, _, split := net.SplitHostPort(*listen); split != nil {
			return usageError(err.Error(), "An address looks like 127.0.0.1:8788.")
		}
		return withHint(err, "Choose another address with -listen.")
	}
	ctx, stop := interruptible()
	defer stop()
	a.announceProxy(ctx, c, l.Addr(), key)
	return serve(ctx, p.Server(), l)
}

// announceProxy says what programs need, and how things stand.
func (a *app) announceProxy(ctx context.Context, c *client.Client, addr net.Addr, key string) {
	fmt.Fprint(a.err, envLines(addr.String(), key))
	if _, err := c.Verify(ctx); err != nil {
		// The proxy starts all the same: it says so to every request, and the
		// server may come back.
		a.exit(err)
		a.say("requests are refused until the server’s machines can be checked")
		return
	}
	a.sayOnce(c.Status().Line)
}

// serve runs s until ctx ends, then lets running answers end for a moment.
func serve(ctx context.Context, s *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return withHint(err, "")
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.Shutdown(grace) != nil {
		s.Close()
	}
	return context.Canceled
}

func envLines(addr, key string) string {
	return fmt.Sprintf("export OPENAI_BASE_URL=http://%s/v1\nexport OPENAI_API_KEY=%s\n", addr, key)
}

func allowedHosts() []string {
	var hosts []string
	for h := range strings.SplitSeq(os.Getenv("SOTTO_ALLOWED_HOSTS"), ",") {
		if h = strings.TrimSpace(h); h != "" {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// proxyKey returns the proxy's key of this machine, making it the first time.
func proxyKey() (string, error) {
	dir, err := configDir()
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "proxy-key")
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		key := proxy.NewKey()
		if err := writePrivate(name, []byte(key+"\n")); err != nil {
			return "", withHint(fmt.Errorf("the proxy’s key can’t be kept: %w", err), "Set SOTTO_CONFIG_DIR to a folder that you can write to.")
		}
		return key, nil
	}
	if err != nil {
		return "", withHint(err, "")
	}
	key := strings.TrimSpace(string(b))
	if len(key) < 16 || strings.ContainsAny(key, " \n'\"$`\\") {
		return "", withHint(fmt.Errorf("%s does not hold a key", name), "Delete it; a new one is made.")
	}
	return key, nil
}
