// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/client"
)

// Exit codes; the manual in main.go lists them.
const (
	exitError       = 1
	exitUsage       = 2
	exitNotVerified = 3
	exitSignIn      = 4
	exitInterrupted = 130
)

// app is one run of the program.
type app struct {
	command command
	in      *os.File
	out     io.Writer // the thing asked for
	err     io.Writer // everything else
	saidIt  map[string]bool

	platforms []attest.Platform // the kinds of hardware that are judged
}

func newApp() *app {
	return &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, saidIt: make(map[string]bool), platforms: platforms.All()}
}

// say prints a line of information.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.err, "sotto: %s\n", plain(fmt.Sprintf(format, args...)))
}

// sayOnce prints it the first time only.
func (a *app) sayOnce(line string) {
	if line != "" && !a.saidIt[line] {
		a.saidIt[line] = true
		a.say("%s", line)
	}
}

// A failure is an error with its own exit code and hint.
type failure struct {
	err  error
	hint string
	code int
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usageError(text, hint string) error {
	return &failure{errors.New(text), hint, exitUsage}
}

func withHint(err error, hint string) error { return &failure{err, hint, exitError} }

// errQuiet ends a command whose output has said everything.
func errQuiet(code int) error { return &failure{nil, "", code} }

// exit prints err and its hint and returns the exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return 0
	}
	text, hint, code := words(err)
	if text != "" {
		fmt.Fprintf(a.err, "sotto: error: %s\n", plain(text))
	}
	if hint != "" {
		fmt.Fprintf(a.err, "sotto: hint: %s\n", plain(hint))
	}
	return code
}

// words finds what to say about err on a terminal, and how to exit.
func words(err error) (text, hint string, code int) {
	var f *failure
	if errors.As(err, &f) {
		if f.err == nil {
			return "", f.hint, f.code
		}
		return f.Error(), f.hint, f.code
	}
	if errors.Is(err, context.Canceled) {
		return "", "", exitInterrupted
	}
	var refused *accountError
	switch {
	case errors.Is(err, errNotLinked), errors.Is(err, errSignedOut):
		return err.Error(), "Link it: sotto login.", exitSignIn
	case canRejoin(err):
		return "the server’s copy of the history doesn’t fit what this terminal has seen: " + innermost(err) + ".",
			"Nothing here was changed. Ask whoever runs the server; to go on with its copy: sotto history rejoin", exitError
	case breaksTrust(err):
		return "the server’s copy of the history doesn’t fit what this terminal has seen: " + innermost(err) + ".",
			"Nothing here was changed. Ask whoever runs the server; another device may show what is missing.", exitError
	case errors.As(err, &refused):
		return refused.Message, "", exitError
	}
	s := client.Explain(err)
	text, hint, code = s.Text, s.Hint, exitError
	var nv *client.NotVerifiedError
	if errors.As(err, &nv) {
		code = exitNotVerified
		if s.Code == client.SaysSoftwareRefused {
			hint = "If this is a demo that you started yourself, add --insecure-software-node: nothing is private there. Otherwise don’t use this server."
		}
	}
	if s.Code == client.SaysSignIn {
		hint, code = "Link this terminal: sotto login.", exitSignIn
	}
	if s.Code == client.SaysUnreachable {
		hint = strings.Replace(hint, "the address of the server", "the address given with -server", 1)
	}
	return text, hint, code
}

// innermost returns the text of the error that others were wrapped around,
// without the name of its package.
func innermost(err error) string {
	text := err.Error()
	if _, after, ok := strings.Cut(text, "vault: "); ok {
		return after
	}
	return text
}

// flags returns the flag set of the command, which knows -h, and whose errors
// come out in our form.
func (a *app) flags() *flag.FlagSet {
	fs := flag.NewFlagSet(a.command.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parse reads args, in which flags and other arguments may stand in any order;
// after "--" nothing is a flag. It returns the other arguments.
func (a *app) parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		err := fs.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			a.help(a.out, a.command, fs)
			return nil, errQuiet(0)
		case err != nil:
			return nil, usageError(err.Error(), "“sotto help "+a.command.name+"” lists what it takes")
		}
		left := fs.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if ended := len(args) - len(left); ended > 0 && args[ended-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// noArgs refuses arguments that the command has no use for.
func (a *app) noArgs(rest []string) error {
	if len(rest) > 0 {
		return usageError(fmt.Sprintf("“sotto %s” takes no argument “%s”", a.command.name, rest[0]), "")
	}
	return nil
}

// interruptible returns a context that ends with the first Ctrl-C or SIGTERM.
// A second one ends the program at once.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// plain makes text from elsewhere safe for a terminal: no escape sequences, no
// characters that move the cursor or turn the writing direction.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
}
