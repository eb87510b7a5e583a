// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"
)

// historyReport prints who answered what and how that machine was checked, newest
// first, from the receipts that are kept with the answers.
func (a *app) historyReport(h *history, args []string, asJSON bool) error {
	if len(args) > 0 {
		return usageError("“sotto history report” takes no argument", "")
	}
	answers := h.replica.Report()
	if asJSON {
		return a.printJSON(map[string]any{"v": 1, "answers": answers})
	}
	if len(answers) == 0 {
		a.say("no answer in this history has a receipt")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHEN\tCHAT\tMACHINE\tCHECKED AS\tRELEASE\tPUBLIC LOG")
	for _, x := range answers {
		release, entry := plain(x.Version), "not in one"
		if release == "" {
			release = short(plain(x.Release))
		}
		if x.Entry != nil {
			entry = "entry " + strconv.FormatInt(*x.Entry, 10) + ", " + count(x.Witnesses, "witness", "witnesses")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", time.Unix(x.Time, 0).Format("2006-01-02 15:04"),
			short(plain(x.Title)), short(plain(x.Machine)), plain(x.State), release, entry)
	}
	return w.Flush()
}

// short cuts a text to what fits into a column.
func short(s string) string {
	const width = 24
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + more
}
