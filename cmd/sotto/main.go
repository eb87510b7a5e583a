// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Sotto is a private AI chat for the terminal. What you write is sealed on this
// machine and opened only inside a machine that has proved what it runs.
//
// Usage:
//
//	sotto ask [-model M] [-f FILE]... [--json] [QUESTION...]
//	sotto chat [-model M]
//	sotto verify [-v] [--json] [--fresh] [--save FILE] [URL]
//	sotto verify --offline FILE [-v] [--json] [--policy FILE]
//	sotto verify-web [--pin FILE | --release FILE] [--json] [URL]
//	sotto attest verify [--policy FILE] [--time T] [--cert FILE]... [--collateral DIR]
//	                    [--report-data HEX] [-v] [--json] [EVIDENCE]
//	sotto attest show [--cert FILE]... [--collateral DIR] [--json] [EVIDENCE]
//	sotto attest policy [--cert FILE]... [--collateral DIR] [EVIDENCE]
//	sotto attest table [--time T] DRIVER.xml VBIOS.xml
//	sotto release build [-config FILE] (-log URL | -index N) [-allow-dirty] [-time T] [-o FILE]
//	sotto release key new [-name NAME] FILE
//	sotto release sign [-key FILE] [-from FILE]... FILE
//	sotto release publish -log URL FILE
//	sotto release show|diff [--json] FILE...
//	sotto release verify -pin PIN [-log URL | -view FILE] [--json] FILE
//	sotto models [--json]
//	sotto proxy [-listen ADDR] [-allow-origin ORIGIN]... [--env]
//	sotto app [--pin FILE] [-listen ADDR] [-name NAME]
//	sotto login [-name NAME]
//	sotto logout
//	sotto history list|show|search|export|report
//	sotto device list
//	sotto version [--json]
//	sotto help [COMMAND|env]
//
// "sotto ask" answers one question: from the arguments, from standard input if
// that is a file or a pipe, and from the files named with -f. "sotto chat" is a
// conversation, line by line; it works over ssh. Ctrl-C stops an answer at the
// model, not only on the screen, and keeps what came. After a short answer the
// program stays for about half a second: the padding that hides the answer's
// length is still on its way.
//
// "sotto verify" checks every claim of who can see what: for the device, the
// account, the relay, the gateway, the machines, the public log and the page it
// says ok, warn or FAIL, by what it was seen, and with -v how to redo it by hand with
// curl, jq, openssl and sha256sum. Then come the machines, a line for each check,
// and the public log. "--fresh" has each machine prove itself anew for a random
// number of this program's own. "--save" keeps all that was looked at in one file,
// and "--offline" checks it again, elsewhere or years later, as of then, without
// asking anybody. A proof brings the policy it was judged by: give --policy to judge
// by your own.
//
// "sotto verify-web" fetches every file of a live site, in every encoding that
// browsers ask for, and compares it with the newest release of the public log, or
// with one in a file: what is changed, missing, loaded without having been published,
// or sent with weaker headers is listed.
//
// "sotto attest" looks at evidence in a file or from standard input, of any
// system's machine: a raw report of AMD SEV-SNP, a quote of Intel TDX or of a TPM, a
// report of an NVIDIA GPU, a bundle of Sotto's; as bytes, hex, base64 or PEM.
// "verify" judges it offline. Without a policy it still checks signature, chain and
// revocation, and says that nothing pinned the software. "show" prints every
// field with what it means, and judges nothing. "policy" prints a policy that
// accepts what the evidence shows, to start from. "table" makes of what NVIDIA
// publishes what a machine with its GPUs has to send along.
//
// "sotto release" makes what the public log holds. "build" describes a release in a
// manifest: source, programs, page, models, and what hardware has to prove. "key new"
// makes a key, "sign" adds its signature, or takes over others' ("-from") over the very
// same manifest, "publish" writes the release down in a log and keeps the proof beside
// it. "show" prints one, "diff" says in words how two differ, "verify" checks one
// against a pin. spec/release.md has the forms, docs/verify-a-release.md the whole way.
//
// "sotto log" reads a public log of releases from somewhere else than a client
// does, all of it: "check" once, "watch" until it does something wrong. It prints each
// new release with what is different in it, remembers what it saw, and names what is
// wrong: a fork, a log that goes back or stands still, too few witnesses.
//
// "sotto proxy" serves /v1/models, /v1/chat/completions and their neighbours on
// 127.0.0.1 to programs that speak OpenAI's API. It prints the address and the
// key that they need.
//
// "sotto app" serves the chat page from this program's own bytes on 127.0.0.1 and
// prints the address to open: the page then doesn't come from the server that it
// talks to. With a pin it first looks for its own page in the public log, and doesn't
// start where that page was never published. It uses the link of "sotto login", or the page makes one.
//
// "sotto login" links this terminal to an account: it shows an address and a
// code, and waits until you have approved them in a browser where you are
// signed in. From then on, chats are saved in your sealed history. Without an
// account nothing is kept.
//
// "sotto plan" shows what the account may do: messages a day, active chats, until
// when. "sotto plan voucher CODE" redeems a voucher, which says nothing of who paid.
//
// # Every command that talks to a server
//
//	-server URL                  the server; default http://127.0.0.1:8787
//	--insecure-software-node     accept a server that runs without protected
//	                             hardware: a demo, which is not private
//	--no-relay                   go straight to the server, which then sees this
//	                             device's address
//	--policy FILE                ask of the machines what stands in FILE
//
// What a server says of itself decides the rest. Where it has a relay, which has to be
// one that its release names, every request goes through it. Where it takes tokens,
// they are fetched ahead, for the account of "sotto login" or as a guest, and kept
// sealed on this device; "sotto plan" shows what there is.
//
// # Output
//
// Standard output holds what was asked for and nothing else. What Sotto itself
// has to say goes to standard error, after "sotto:".
//
// # Exit codes
//
//	0    done
//	1    an error
//	2    the command line was not understood
//	3    the server's machines, or the evidence or release in a file, could not
//	     prove what they are; nothing was sent
//	4    sign in first: sotto login
//	130  interrupted
//
// # Files
//
// In the folder that "sotto help env" names: the key of the proxy, and for each
// linked account the secret of this device and the sealed history. All are
// readable by you alone.
package main

import (
	"os"
	"strings"
)

func main() { os.Exit(newApp().run(os.Args[1:])) }

// run is the program up to its exit code.
func (a *app) run(args []string) int {
	if len(args) == 0 {
		a.usage(os.Stderr)
		return exitUsage
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			a.command = c
			return a.exit(c.run(a, args[1:]))
		}
	}
	if strings.HasPrefix(args[0], "-") {
		return a.exit(usageError("“"+args[0]+"” stands before the command", "flags come after it: sotto ask "+args[0]+" …"))
	}
	return a.exit(usageError("there is no command “"+args[0]+"”", "“sotto help” lists the commands"))
}
