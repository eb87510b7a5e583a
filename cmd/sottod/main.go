// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command sottod runs Sotto's servers.
//
//	sottod demo     everything on this machine: account, gateway and a node
//	sottod account  the page, passkeys and sealed history
//	sottod gateway  picks a node for each sealed request; sees no words
//	sottod relay    hides from the gateway where requests come from; run by somebody else
//	sottod log      the public log of releases
//	sottod witness  cosigns logs that only grow; run by somebody else than the log
//	sottod version  what this binary was built from
//
// # Demo
//
//	sottod demo [-listen 127.0.0.1:8787] [-data DIR] [-engine auto|URL|builtin] [-model FILE.gguf]
//
// One process on loopback: open http://localhost:8787 and make a passkey. The
// node's evidence is of the platform "software", which proves nothing, so every
// surface says "Demo hardware — not private". Sealed history is written to
// DIR/sotto.db; without -data, DIR is sotto in the user's data folder
// ($XDG_DATA_HOME, else ~/.local/share).
//
// A public log with three witnesses runs along, in DIR/public, and what this demo
// runs is a release in it, signed with keys that lie there too. That shows how it
// works and proves nothing: all the keys are on this machine. The pin is in
// DIR/public/pin.json.
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
//	sottod account … -tokens NAME [-product NAME] [-guests N] [-relay URL -relay-operator NAME] [-stripe-key-file FILE -stripe-webhook-file FILE]
//	sottod account grant -data DIR -account ID -days N [-plan member|free]
//	sottod account voucher -data DIR [-n N] [-days N]
//	sottod account plans -data DIR
//
// With -tokens it signs the tokens that messages are paid with, as many as a person's
// plan gives. grant, voucher and plans work while it runs: days for an account, codes
// that pay for days, how many accounts have which plan. docs/plans.md has the rest.
//
// # Gateway
//
//	sottod gateway -listen ADDR -node URL [-node URL …] [-log URL] [-ohttp-key FILE …] [-relay URL …] [-issuer FILE … -spent URL]
//	sottod gateway counts -spent URL -product NAME
//
// Keeps nothing on disk but spent tokens. With -log it keeps a copy of the public log's view in
// memory for clients, who judge it themselves. Put TLS in front of both roles.
//
// -ohttp-key makes it take requests that a relay brings (spec/ohttp.md): a file of 32
// bytes, made at the first start. It may be given again: the first key is offered, all
// are accepted, so that one can follow another. -relay names each relay that clients
// are told of; a gateway that is on the same host as one of them refuses to start.
//
// -issuer makes a sealed request cost a token (spec/token.md, "Spending"): each file
// says whose, the service's own first, and where that product's keys are published.
// Then -spent names the store of spent tokens, which all gateways share: the only thing
// that a gateway keeps. counts prints how many tokens of a product were spent on each
// day that is over, coarsely.
//
// # Relay
//
//	sottod relay -listen ADDR -gateway URL [-keys URL] [-origin https://chat.example …] [-public URL] [-address-header X-Real-IP]
//
// Passes encapsulated requests (Oblivious HTTP, RFC 9458) to one gateway, ours or any,
// with nothing of who sent them. Keeps nothing on disk and logs no address. -origin
// names the pages that may ask. It refuses to start where the gateway is on the same
// host: -same-host-demo is for trying things out. docs/operate-relay.md has it step by
// step.
//
// # Log and witness
//
//	sottod log -init -data DIR -origin NAME
//	sottod log -data DIR -pin FILE [-listen ADDR] [-key FILE] [-witness NAME=URL …]
//	sottod witness -data DIR -name NAME -log VKEY [-log VKEY …] [-listen ADDR] [-key FILE]
//
// -init makes the log's key and prints its public half, which goes into the pin and
// to the witnesses. From then on key and folder belong together; a log or a witness
// whose folder is damaged, older than what it has signed, or another key's refuses
// to start, since it could sign a second history. Witnesses that the log's operator
// runs prove nothing against the operator. docs/operate-log.md has it step by step.
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

const usage = `usage: sottod demo|account|gateway|relay|log|witness|version [flags]

  sottod demo      everything on this machine; then open http://localhost:8787
  sottod account   the page, passkeys and sealed history
  sottod gateway   picks a node for each sealed request
  sottod relay     hides from the gateway where requests come from
  sottod log       the public log of releases
  sottod witness   cosigns logs that only grow; run by somebody else than the log

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
		"relay":   relayRole,
		"log":     logRole,
		"witness": witnessRole,
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
