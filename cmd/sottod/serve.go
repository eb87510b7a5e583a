// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/sotto-chat/sotto/account"
)

// server is a role's HTTP server. Answers stream for minutes, so there is no
// limit on writing; each handler bounds what it reads.
func server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		// net/http's own complaints name addresses of clients.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}

// brief is the HTTP server of a role whose answers don't stream. Whoever doesn't read
// one gives back the connection and the bytes that wait for it.
func brief(h http.Handler) *http.Server {
	s := server(h)
	s.WriteTimeout = 2 * time.Minute
	return s
}

// task is something that runs until its context ends.
type task func(ctx context.Context) error

// serving serves on l until ctx ends, then lets answers that are under way end
// for up to ten seconds.
func serving(s *http.Server, l net.Listener) task {
	return func(ctx context.Context) error {
		failed := make(chan error, 1)
		go func() { failed <- s.Serve(l) }()
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
		}
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(late); err != nil {
			s.Close()
		}
		<-failed
		return nil
	}
}

// together runs tasks until ctx ends or one of them fails, then ends them all
// and returns the first failure.
func together(ctx context.Context, tasks ...task) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, len(tasks))
	for _, t := range tasks {
		go func() {
			err := t(ctx)
			if err != nil {
				cancel(err)
			}
			ended <- err
		}()
	}
	var first error
	for range tasks {
		if err := <-ended; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// closing ends an account server's live streams when ctx ends: a server waits
// for its requests, and these never end by themselves.
func closing(a *account.Server) task {
	return func(ctx context.Context) error {
		<-ctx.Done()
		a.Close()
		return nil
	}
}

// metrics serves the roles' coarse figures on a listener of the operator's own.
func metrics(writers ...func(io.Writer)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for _, write := range writers {
			write(w)
		}
	})
	return mux
}

// onlyHosts answers requests for the named hosts and no others, so that a web
// page that binds its own name to this address reaches nothing. A browser that
// comes by one of the aliases is sent to the origin, where passkeys work.
func onlyHosts(next http.Handler, origin *url.URL, aliases ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == origin.Host {
			next.ServeHTTP(w, r)
			return
		}
		for _, a := range aliases {
			if r.Host != a {
				continue
			}
			if r.Header.Get("Sec-Fetch-Mode") == "navigate" {
				http.Redirect(w, r, origin.JoinPath(r.URL.Path).String(), http.StatusTemporaryRedirect)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, "This server is "+origin.String()+" and no other. Open it by that address.", http.StatusMisdirectedRequest)
	})
}

// listenLoopback listens on addr, which must be of this machine only.
func listenLoopback(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("-listen %q is not an address such as 127.0.0.1:8787", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("the demo listens on this machine only, so -listen can't be %q: use 127.0.0.1:8787", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: end the other program, or choose another port with -listen", err)
	}
	return l, nil
}

// parseOrigin parses what browsers show, scheme and host with nothing behind.
func parseOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || s != u.Scheme+"://"+u.Host {
		return nil, fmt.Errorf("-origin %q is not an origin such as https://chat.example", s)
	}
	return u, nil
}

// dataFolder makes the folder for a role's rows, open to its owner only.
func dataFolder(dir string) (string, error) {
	if dir == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", errors.New("there is no home folder to keep sealed history in: name a folder with -data")
			}
			base = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(base, "sotto")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("the data folder can't be made: %w", err)
	}
	return dir, nil
}
