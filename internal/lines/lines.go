// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package lines is all that a role may write down: lines of its log, and figures
// for its operator. Its types leave no way to say more. What is said is a constant
// of the program, since a text can't be made of anything else outside of this
// package; what is said with it is one of few kinds of fields. Those that hold a
// text, [Own] and [Err], are for what the operator set up and the role does by
// itself: internal/repo lists each place that may use them, and why.
//
// What people do is counted coarsely and late, by [Acts]. A figure that grew by one
// in the second of somebody's message would say that there was one.
package lines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// text is a constant: a string that was put together at run time has another type.
type text string

// Field is something that is said with a line.
type Field struct{ attr slog.Attr }

// Own is what the operator itself chose: an address, a name, a file.
func Own[T string | []string](name text, value T) Field { return Field{slog.Any(string(name), value)} }

// Err is what went wrong, in full. No request may have had a part in it.
func Err(err error) Field { return Field{slog.Any("error", err)} }

// Cause is what kind of thing went wrong while a request was served. The words of
// an error may quote the request, so they stay out.
func Cause(err error) Field {
	for in := errors.Unwrap(err); in != nil; in = errors.Unwrap(in) {
		err = in
	}
	what := fmt.Sprintf("%T", err)
	switch e := err.(type) {
	case syscall.Errno:
		what = e.Error()
	case interface{ Code() int }: // SQLite's
		what = fmt.Sprint(what, " ", e.Code())
	}
	return Field{slog.String("cause", what)}
}

// Route is the pattern that a request fits, which is the program's and not the
// request's.
func Route(r *http.Request) Field { return Field{slog.String("route", r.Pattern)} }

// For is how long something of the role's own takes.
func For(name text, d time.Duration) Field { return Field{slog.Duration(string(name), d)} }

// At is when something of the role's own was or will be, to the minute.
func At(name text, t time.Time) Field {
	return Field{slog.Time(string(name), t.UTC().Truncate(time.Minute))}
}

// Log is where a role writes its lines. The zero value writes none.
type Log struct{ to *slog.Logger }

// To is a log that writes to l, or nowhere if l is nil.
func To(l *slog.Logger) Log { return Log{l} }

// Debug says what helps whoever sets a role up.
func (l Log) Debug(what text, with ...Field) { l.write(slog.LevelDebug, what, with) }

// Info says what happens.
func (l Log) Info(what text, with ...Field) { l.write(slog.LevelInfo, what, with) }

// Warn says what the operator may have to look at.
func (l Log) Warn(what text, with ...Field) { l.write(slog.LevelWarn, what, with) }

// Error says what the operator has to look at.
func (l Log) Error(what text, with ...Field) { l.write(slog.LevelError, what, with) }

func (l Log) write(level slog.Level, what text, with []Field) {
	if l.to == nil {
		return
	}
	var attrs []slog.Attr
	for _, f := range with {
		attrs = append(attrs, f.attr)
	}
	l.to.LogAttrs(context.Background(), level, string(what), attrs...)
}

// Coarse rounds a number down: to tens, and from 100 on to two digits.
func Coarse(n int64) int64 {
	step := int64(10)
	for n/step >= 100 {
		step *= 10
	}
	return n - n%step
}

// Hold is how long a number of [Acts] stays as it is once it was shown.
const Hold = 5 * time.Minute

// Acts counts what people do: a number that is shown in tens at the finest, and
// that changes once in five minutes at most, however often it is looked at.
type Acts struct{ n, shown, since atomic.Int64 }

// Add counts n more.
func (a *Acts) Add(n int64) { a.n.Add(n) }

// Load is the number as it is, for the program itself. It is not to be shown.
func (a *Acts) Load() int64 { return a.n.Load() }

// Shown is the number as everybody may see it.
func (a *Acts) Shown() int64 {
	now := time.Now().Unix()
	if since := a.since.Load(); (since == 0 || now-since >= int64(Hold/time.Second)) && a.since.CompareAndSwap(since, now) {
		a.shown.Store(Coarse(a.n.Load()))
	}
	return a.shown.Load()
}

// Figures writes the figures of a role in Prometheus' text form.
type Figures struct {
	to   io.Writer
	role text
}

// FiguresOf begins the figures of a role. They belong on a listener of the
// operator's own.
func FiguresOf(role text, to io.Writer) Figures { return Figures{to, role} }

func (f Figures) one(name, kind, help text, n int64) {
	fmt.Fprintf(f.to, "# HELP sotto_%s_%s %s\n# TYPE sotto_%[1]s_%[2]s %[4]s\nsotto_%[1]s_%[2]s %[5]d\n", f.role, name, help, kind, n)
}

// Gauge is a state of the role itself, which no request changes.
func (f Figures) Gauge(name, help text, n int64) { f.one(name, "gauge", help, n) }

// Events is how often something befell the role itself.
func (f Figures) Events(name, help text, n int64) { f.one(name, "counter", help, n) }

// Acts is how often people did something.
func (f Figures) Acts(name, help text, a *Acts) { f.one(name, "counter", help, a.Shown()) }

// Live is what people have under way, coarsely.
func (f Figures) Live(name, help text, n int64) { f.one(name, "gauge", help, Coarse(n)) }

// Each begins a gauge or counter with one label, whose values are the program's.
func (f Figures) Each(name, kind, help, label text) func(value string, n int64) {
	fmt.Fprintf(f.to, "# HELP sotto_%s_%s %s\n# TYPE sotto_%[1]s_%[2]s %[4]s\n", f.role, name, help, kind)
	return func(value string, n int64) {
		fmt.Fprintf(f.to, "sotto_%s_%s{%s=%q} %d\n", f.role, name, label, value, n)
	}
}
