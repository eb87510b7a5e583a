// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// A command is one row of the table below.
type command struct {
	name  string
	args  string // as in the usage line
	short string // one line
	run   func(*app, []string) error
}

// commands is the table of all commands, in the order of the help.
func commands() []command {
	return []command{
		{"ask", "[-model M] [-f FILE]... [--json] [QUESTION...]", "answer one question", (*app).ask},
		{"chat", "[-model M]", "have a conversation", (*app).chat},
		{"verify", "[-v] [--json] [--fresh] [--save FILE] [URL] | --offline FILE", "check who can see what at a server", (*app).verify},
		{"verify-web", "[--pin FILE | --release FILE] [--json] [URL]", "compare a site with the published page, byte by byte", (*app).verifyWeb},
		{"attest", "verify | show | policy | table [--cert FILE]... [--collateral DIR] [--json] [EVIDENCE]", "judge or print evidence out of a file", (*app).attestCommand},
		{"release", "build | key new | sign | publish | show | diff | verify …", "make, sign, publish and read releases", (*app).releaseCommand},
		{"log", "check | watch --pin FILE [-webhook URL] [--json] URL", "read a public log of releases and see that it only grows", (*app).logCommand},
		{"models", "[--json]", "list the models that answer", (*app).models},
		{"proxy", "[-listen ADDR] [-allow-origin ORIGIN]... [--env]", "serve OpenAI’s API to local programs", (*app).proxy},
		{"app", "[--pin FILE] [-listen ADDR] [-name NAME]", "serve the chat page from this program’s own bytes", (*app).page},
		{"login", "[-name NAME]", "link this terminal to an account", (*app).login},
		{"logout", "", "end the link and delete what this terminal keeps", (*app).logout},
		{"plan", "[--json] [voucher CODE]", "show the account’s plan, or redeem a voucher", (*app).plan},
		{"history", "list | show ID | search WORDS | export [--json] | report [--json] | rejoin [-yes]", "read your sealed history", (*app).historyCommand},
		{"device", "list [--json]", "list where the account is signed in", (*app).deviceCommand},
		{"version", "[--json]", "say which version this is", (*app).version},
		{"help", "[COMMAND|env]", "say how a command is used", (*app).showHelp},
	}
}

func (a *app) usage(w io.Writer) {
	fmt.Fprint(w, "Sotto is a private AI chat.\n\nUsage:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  sotto %-10s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, "\n“sotto help COMMAND” says more about one, “sotto help env” about the environment.\n")
}

func (a *app) showHelp(args []string) error {
	rest, err := a.parse(a.flags(), args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		a.usage(a.out)
		return nil
	case rest[0] == "env":
		return a.helpEnv()
	}
	for _, c := range commands() {
		if c.name == rest[0] {
			if c.name == "help" {
				a.usage(a.out)
				return nil
			}
			a.command = c
			return c.run(a, []string{"-h"})
		}
	}
	return usageError("there is no command “"+rest[0]+"”", "“sotto help” lists the commands")
}

// oneOf runs one of the commands that name has below it. Its help lists them, with
// more behind.
func (a *app) oneOf(name, short string, below []command, more string, args []string) error {
	hint := "“sotto help " + name + "” lists what there is"
	if len(args) == 0 {
		return usageError("“sotto "+name+"” needs to know what to do", hint)
	}
	for _, c := range below {
		if c.name == args[0] {
			a.command = command{name + " " + c.name, c.args, c.short, c.run}
			return c.run(a, args[1:])
		}
	}
	switch args[0] {
	case "-h", "-help", "--help":
		fmt.Fprintf(a.out, "sotto %s: %s\n\n", name, short)
		for _, c := range below {
			fmt.Fprintf(a.out, "  sotto %s %s %s\n        %s\n", name, c.name, c.args, c.short)
		}
		fmt.Fprint(a.out, more)
		return nil
	}
	return usageError("there is no “sotto "+name+" "+args[0]+"”", hint)
}

// help prints the usage of one command.
func (a *app) help(w io.Writer, c command, fs *flag.FlagSet) {
	fmt.Fprintf(w, "sotto %s: %s\n\nUsage: sotto %s %s\n\n", c.name, c.short, c.name, c.args)
	fs.VisitAll(func(f *flag.Flag) {
		dash := "-"
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() && len(f.Name) > 1 {
			dash = "--"
		}
		name, usage := flag.UnquoteUsage(f)
		line := strings.TrimSpace(dash + f.Name + " " + name)
		fmt.Fprintf(w, "  %-26s %s\n", line, usage)
	})
}

// variables are the environment variables that Sotto reads.
var variables = []struct{ name, meaning string }{
	{"SOTTO_SERVER", "the server, where -server isn’t given (default " + defaultServer + ")"},
	{"SOTTO_MODEL", "the model, where -model isn’t given"},
	{"SOTTO_INSECURE_SOFTWARE_NODE", "1 is the same as --insecure-software-node"},
	{"SOTTO_NO_RELAY", "1 is the same as --no-relay"},
	{"SOTTO_POLICY", "the policy, where --policy isn’t given"},
	{"SOTTO_ALLOWED_HOSTS", "further names of this machine for “sotto proxy”, with commas between"},
	{"SOTTO_CONFIG_DIR", "where keys and the sealed history of linked accounts are kept"},
	{"HTTPS_PROXY, NO_PROXY", "the way to the server, as everywhere"},
}

func (a *app) helpEnv() error {
	for _, v := range variables {
		fmt.Fprintf(a.out, "%-30s %s\n", v.name, v.meaning)
		if value, ok := os.LookupEnv(v.name); ok {
			fmt.Fprintf(a.out, "%-30s   now: %s\n", "", plain(value))
		}
	}
	dir, err := configDir()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nFiles are kept in %s\n", dir)
	return nil
}
