// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package bad has each way to write down what nobody should, for
// TestTheLookerSees.
package bad

import (
	"context"
	_ "expvar" // want imports expvar
	"fmt"
	"io"
	"log" // want imports log
	"log/slog"
	"net/http"
	"net/http/httputil"
	"os"
	"runtime/debug"

	"github.com/sotto-chat/sotto/internal/lines"
)

type role struct{ log lines.Log }

func free(l *slog.Logger, r *http.Request, err error) {
	l.Info("asked", "path", r.URL.Path)             // want (*log/slog.Logger).Info
	l.Warn(fmt.Sprintf("asked for %s", r.URL.Path)) // want (*log/slog.Logger).Warn
	l.ErrorContext(r.Context(), "x")                // want (*log/slog.Logger).ErrorContext
	l.LogAttrs(context.Background(), 0, "x")        // want (*log/slog.Logger).LogAttrs
	slog.Info("x")                                  // want log/slog.Info
	_ = slog.String("path", r.URL.Path)             // want log/slog.String
	l.With("who", r.RemoteAddr)                     // want begin with something
	l.WithGroup(r.RemoteAddr)                       // want begin with something
	_ = l.With("role", "node")
	_ = l.Handler() // want Logger).Handler
	say := l.Info   // want (*log/slog.Logger).Info
	say("x")
	log.Print(err)
	print("x")                            // want builtin.print
	fmt.Println(r.RemoteAddr)             // want fmt.Println
	fmt.Fprintln(os.Stderr, r.RemoteAddr) // want writes to os.Stderr
	debug.PrintStack()                    // want runtime/debug.PrintStack
}

func (x role) serve(w http.ResponseWriter, r *http.Request) {
	_, err := io.ReadAll(r.Body)
	x.log.Error("failed", lines.Err(err))                // want role.serve writes the words
	x.log.Error("failed", lines.Own("path", r.URL.Path)) // want role.serve writes the words
	x.log.Error("failed", lines.Cause(err), lines.Route(r))
	own := lines.Own[string] // want role.serve writes the words
	_ = own
	http.Error(w, err.Error(), 500) // want an answer that is no constant
	http.Error(w, "it failed", 500)
	fmt.Fprintf(w, "no %s", r.URL.Path) // want an answer that is no constant
	fmt.Fprint(w, "ok")
}

func serve(h http.Handler) {
	_ = &http.Server{Handler: h}                                              // want a http.Server without
	_ = http.Server{ErrorLog: slog.NewLogLogger(slog.Default().Handler(), 0)} // want a http.Server without
	_ = http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	_ = &httputil.ReverseProxy{}     // want a httputil.ReverseProxy without
	_ = new(http.Server)             // want a net/http.Server without
	_ = http.ListenAndServe(":1", h) // want net/http.ListenAndServe
}

func figures(w io.Writer) {
	lines.FiguresOf("bad", w).Gauge("people", "People.", 1)
	io.WriteString(w, "# TYPE sotto_bad gauge\n") // want writes a figure by itself
}
