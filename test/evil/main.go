// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Command evil is a malicious operator. It owns the gateway, the account server,
// the log, the web server and the network before them, and machines without
// protected hardware; it does one of the attacks of docs/threat-model.md to
// whoever comes:
//
//	go run ./test/evil -list
//	go run ./test/evil -attack NAME [-listen 127.0.0.1:8787]
//	go run ./test/evil -victim FOLDER [-say TEXT]
//
// The second runs until it is interrupted, and says what to point at it and what
// is to be seen. Its machines have hardware of fake makers, which no real program
// believes; where an attack needs a machine that counts as real, the third is a
// person whose client believes these makers and nothing else.
//
// The same attacks run as tests, each against an honest world of its own that is
// first shown to work. An attack counts as stopped when it ends in exactly the
// failure that the table names, when no sealed request has left for a machine that
// did not pass, and when no word of the person's is in any byte that the operator
// holds: what came by, what it could open with keys of its own, what its servers
// logged, counted and wrote to disk.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/web"
)

func main() {
	list := flag.Bool("list", false, "print all attacks")
	name := flag.String("attack", "", "be the operator that does this `attack`")
	listen := flag.String("listen", "127.0.0.1:8787", "`address` of the operator's front door")
	victim := flag.String("victim", "", "be a person who believes the fake makers of this `folder`")
	say := flag.String("say", "say what nobody else may read", "the person's `text`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := errors.New("one of -list, -attack and -victim is needed")
	switch {
	case *list:
		err = printList(os.Stdout)
	case *name != "":
		err = operate(ctx, os.Stdout, *name, *listen)
	case *victim != "":
		err = suffer(ctx, os.Stdout, *victim, *say)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "evil: error:", err)
		os.Exit(1)
	}
}

func printList(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, a := range attacks() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", a.Class, a.Name, a.Failure, a.Attacker)
	}
	return t.Flush()
}

// pinned is what a victim in another process has to know.
type pinned struct {
	URL    string                 `json:"url"`
	Policy attest.Policy          `json:"policy"`
	Roots  map[string][]cert.Root `json:"roots"`

	// What this person has seen before, while the operator was honest.
	Releases []string `json:"releases"`
	LogSeen  []byte   `json:"log_seen"`
}

// operate is the operator of one attack, until ctx ends.
func operate(ctx context.Context, out io.Writer, name, listen string) error {
	var a *Attack
	for _, b := range attacks() {
		if b.Name == name {
			a = b
		}
	}
	if a == nil {
		return fmt.Errorf("there is no attack %q; -list names them", name)
	}
	w, err := newWorld(a.Setup)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.open(listen); err != nil {
		return err
	}
	origin := strings.Replace(w.URL, "127.0.0.1", "localhost", 1)
	if err := w.startAccount(origin); err != nil {
		return err
	}
	if a.Class != classWeb {
		w.page = web.Handler()
	}
	if a.Class == classLog || a.Class == classWeb {
		// The person comes back: they have seen the log before.
		if err := a.attempt(ctx, w); err != nil {
			return err
		}
	}
	if err := a.Arm(ctx, w); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sotto-evil-victim-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := pinned{URL: w.URL, Policy: w.victim.policy, Roots: rootsOf(w.victim.platforms), Releases: w.victim.releases, LogSeen: w.victim.logSeen}
	for file, v := range map[string]any{"victim.json": p, "policy.json": p.Policy} {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, `This is a malicious operator: %s
It attacks: %s
One has to be: %s
To be seen: %s

Page and API:          %s
A person who believes
the fake makers:       go run ./test/evil -victim %s
The real program:      bin/sotto ask --policy %s/policy.json -server %s hello
                       (it believes no fake makers but that of TPMs, whom the policy names)
Ctrl-C ends it.
`, a.Name, a.Promise, a.Attacker, a.Failure, origin, dir, dir, w.URL)
	<-ctx.Done()
	return nil
}

// rootsOf are the roots that platforms believe in.
func rootsOf(platforms []attest.Platform) map[string][]cert.Root {
	roots := map[string][]cert.Root{}
	for _, p := range platforms {
		switch p := p.(type) {
		case snp.Platform:
			roots[p.Name()] = p.Roots
		case tdx.Platform:
			roots[p.Name()] = p.Roots
		case tpm.Platform:
			roots[p.Name()] = p.Roots
		case nvidia.Platform:
			roots[p.Name()] = p.Roots
		}
	}
	return roots
}

// suffer asks one thing and says what came of it.
func suffer(ctx context.Context, out io.Writer, dir, text string) error {
	b, err := os.ReadFile(filepath.Join(dir, "victim.json"))
	if err != nil {
		return err
	}
	var p pinned
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	c := client.New(client.Config{Transport: nethttp.New(p.URL), Policy: p.Policy, Platforms: []attest.Platform{
		snp.Platform{Roots: p.Roots[snp.Name]}, tdx.Platform{Roots: p.Roots[tdx.Name]}, tpm.Platform{Roots: p.Roots[tpm.Name]},
		nvidia.Platform{Roots: p.Roots[nvidia.Name]}, software.Platform{},
	}, Seen: p.Releases, LogSeen: p.LogSeen})
	defer c.Close()
	err = talk(ctx, out, c, text)
	fmt.Fprintf(out, "\n%s\n", c.Status().Line)
	if err != nil {
		fmt.Fprintf(out, "failure: %s\n%s\n", failureOf(err), client.Explain(err))
	}
	return nil
}

func talk(ctx context.Context, out io.Writer, c *client.Client, text string) error {
	s, err := c.Chat(ctx, client.ChatRequest{Model: "test", Messages: []client.ChatMessage{{Role: "user", Content: text}}}, client.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		d, err := s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprint(out, d.Text)
	}
}
