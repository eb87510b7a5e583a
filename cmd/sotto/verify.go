// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
)

// verify checks the server's machines and prints one line for each check.
func (a *app) verify(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	details := fs.Bool("v", false, "show every single finding, and how to redo the checks by hand")
	asJSON := fs.Bool("json", false, "print the verdicts as JSON")
	rest, err := a.parse(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 1:
		return usageError("“sotto verify” takes one address", "")
	case len(rest) == 1:
		server.url = rest[0]
	}
	ctx, stop := interruptible()
	defer stop()
	c, err := a.client(server)
	if err != nil {
		return err
	}
	defer c.CloseNow()
	verdicts, err := c.Verify(ctx)
	var nv *client.NotVerifiedError
	if err != nil && !errors.As(err, &nv) {
		return err
	}
	if *asJSON {
		st := c.Status()
		json.NewEncoder(a.out).Encode(struct {
			State    client.State     `json:"state"`
			Server   string           `json:"server"`
			Verdicts []attest.Verdict `json:"verdicts"`
		}{st.State, server.url, verdicts})
	} else {
		for i, v := range verdicts {
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			a.printVerdict(v, *details)
		}
	}
	return err
}

// printVerdict prints one machine: a line for each check, the sum of them, and
// with details every finding behind them.
func (a *app) printVerdict(v attest.Verdict, details bool) {
	if v.Node != "" {
		fmt.Fprintf(a.out, "machine %s\n", plain(v.Node))
	}
	for _, c := range v.Checks {
		a.printCheck("", c)
		if !details {
			continue
		}
		for _, p := range c.Parts {
			a.printCheck("      ", p)
			a.printFound("              ", p)
		}
		a.printFound("        ", c)
	}
	fmt.Fprintf(a.out, "%-5s %s\n", mark(stateMarks[v.State]), plain(v.Summary))
}

var stateMarks = map[string]string{
	attest.StateVerified: attest.StatusOK,
	attest.StateGenuine:  attest.StatusOK,
	attest.StateDemo:     attest.StatusWarn,
	attest.StateFailed:   attest.StatusFail,
	attest.StateUnknown:  attest.StatusFail,
}

func (a *app) printCheck(indent string, c attest.Check) {
	fmt.Fprintf(a.out, "%s%-5s %s: %s\n", indent, mark(c.Status), plain(c.Title), plain(c.Detail))
}

func (a *app) printFound(indent string, c attest.Check) {
	for _, l := range []struct{ what, text string }{{"wanted", c.Want}, {"found", c.Found}, {"to redo it", c.Redo}} {
		if l.text != "" {
			fmt.Fprintf(a.out, "%s%s: %s\n", indent, l.what, plain(l.text))
		}
	}
}

// mark is the word before a line: words, so that they can be read aloud.
func mark(status string) string {
	if status == attest.StatusFail {
		return "FAIL"
	}
	return status
}
