// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command sottod runs Sotto's servers.
//
//	sottod demo     everything on this machine: account, gateway and a node
//	sottod account  the page, passkeys and sealed history
//	sottod gateway  picks a node for each sealed request; sees no words
//	sottod version  what this binary was built from
//
// # Demo
//
//	sottod demo [-listen 127.0.0.1:8787] [-data DIR] [-engine auto|URL|builtin] [-model FILE.gguf]
//
// One process on loopback: open http://localhost:8787 and make a passkey. The
// node's evidence is of the platform "software", which proves nothing, so every
// surface says "Demo hardware — not private". Nothing but sealed history is
// written, to DIR/sotto.db; without -data, DIR is sotto in the user's data folder
// ($XDG_DATA_HOME, else ~/.local/share).
//
// -engine auto takes, in this order: an OpenAI-compatible server that answers on
// the usual loopback ports (Ollama 11434, llama.cpp 8080, vLLM 8000, LM Studio
// 1234); the GGUF file of -model; the built-in demo model. A URL names a server;
// builtin takes the built-in demo model whatever else is running. The start line
// says which it is.
//
// # Account
//
//	sottod account -listen ADDR -origin https://chat.example -data DIR -gateway URL [-address-header X-Real-IP]
//
// Serves the page, /api/ and, passed through to the gateway, /sotto/. The
// origin is what browsers show; passkeys are bound to its host.
//
// # Gateway
//
//	sottod gateway -listen ADDR -node URL [-node URL …]
//
// Keeps nothing on disk. Put TLS in front of both roles.
//
// # Signals and exit codes
//
// SIGINT and SIGTERM end the program after the answers that are under way, or
// after ten seconds. Exit code 0 is a clean end, 1 an error, 2 a wrong call.
// Information goes to stderr, one JSON object per line with -log-format json; no line
// holds anything that comes from a prompt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

const usage = `usage: sottod demo|account|gateway|version [flags]

  sottod demo      everything on this machine; then open http://localhost:8787
  sottod account   the page, passkeys and sealed history
  sottod gateway   picks a node for each sealed request

"sottod ROLE -h" lists the role's flags.
`

// errUsage has been explained already; it only sets the exit code.
var errUsage = errors.New("wrong call")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process, for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	roles := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"demo":    demo,
		"account": accountRole,
		"gateway": gatewayRole,
		"version": version,
	}
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	if args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(stdout, usage)
		return 0
	}
	role, ok := roles[args[0]]
	if !ok {
		fmt.Fprintf(stderr, "sottod: error: there is no role %q\n%s", args[0], usage)
		return 2
	}
	err := role(ctx, args[1:], stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintf(stderr, "sottod: error: %v\n", err)
	return 1
}

// flags makes a role's flag set, with the flag that all of them have.
func flags(role string, stderr io.Writer) (*flag.FlagSet, func() *slog.Logger) {
	fs := flag.NewFlagSet("sottod "+role, flag.ContinueOnError)
	fs.SetOutput(stderr)
	format := fs.String("log-format", "text", "`text` or json")
	return fs, func() *slog.Logger {
		if *format == "json" {
			return slog.New(slog.NewJSONHandler(stderr, nil))
		}
		return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{ReplaceAttr: plainLines}))
	}
}

// plainLines drops what a person at a terminal doesn't need on each line.
func plainLines(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey && a.Value.Any() == slog.LevelInfo) {
		return slog.Attr{}
	}
	return a
}

// parse parses a role's flags, which are all that it takes.
func parse(fs *flag.FlagSet, args []string, stderr io.Writer) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "sottod: error: %q is more than %s takes\n", fs.Arg(0), fs.Name())
		return errUsage
	}
	return nil
}

func version(_ context.Context, _ []string, stdout, _ io.Writer) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this binary carries no build information")
	}
	_, err := fmt.Fprintf(stdout, "sottod %s %s\n", info.Main.Version, info.GoVersion)
	return err
}
