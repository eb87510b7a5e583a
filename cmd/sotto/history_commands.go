// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sotto-chat/sotto/vault"
)

// historyCommand is "sotto history VERB".
func (a *app) historyCommand(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	asJSON := fs.Bool("json", false, "print it as JSON")
	yes := fs.Bool("yes", false, "with rejoin: do it")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	const verbsAre = "sotto history list, show ID, search WORDS, export, report, or rejoin"
	if len(rest) == 0 {
		return usageError("history of what?", verbsAre)
	}
	verbs := map[string]func(*history, []string, bool) error{
		"list": a.historyList, "show": a.historyShow, "search": a.historySearch, "export": a.historyExport, "report": a.historyReport,
	}
	verb, ok := verbs[rest[0]]
	rejoin := rest[0] == "rejoin"
	if !ok && !rejoin {
		return usageError("there is no “sotto history "+rest[0]+"”", verbsAre)
	}
	h, err := openHistory(server.url)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if rejoin {
		return a.historyRejoin(ctx, h, rest[1:], *yes)
	}
	if err := h.sync(ctx); err != nil {
		if errors.Is(err, errSignedOut) || ctx.Err() != nil || breaksTrust(err) {
			return err
		}
		a.warn("this is what the terminal had", err)
	}
	if n := len(h.replica.Problems()); n > 0 {
		a.say("%d records of the history are damaged and left out; the rest is whole", n)
	}
	return verb(h, rest[1:], *asJSON)
}

// historyList prints the chats, newest first.
func (a *app) historyList(h *history, args []string, asJSON bool) error {
	if len(args) > 0 {
		return usageError("“sotto history list” takes no argument", "")
	}
	chats := h.replica.Chats()
	if asJSON {
		return a.printJSON(map[string]any{"chats": chats})
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, c := range chats {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.ID[:8], day(c.Updated), title(c))
	}
	return w.Flush()
}

// historyShow prints the branch of one chat that was shown last.
func (a *app) historyShow(h *history, args []string, asJSON bool) error {
	if len(args) != 1 {
		return usageError("which chat?", "sotto history list prints their ids; the first characters are enough")
	}
	c, err := findChat(h.replica, args[0])
	if err != nil {
		return err
	}
	thread := h.replica.Thread(c.ID, "")
	if asJSON {
		return a.printJSON(map[string]any{"chat": c, "messages": thread})
	}
	fmt.Fprintf(a.out, "%s\n%s\n", title(c), day(c.Updated))
	for _, m := range thread {
		who := "You"
		if m.Role == "assistant" {
			who = m.Model
		}
		fmt.Fprintf(a.out, "\n%s:\n%s\n", plain(who), strings.TrimRight(plain(m.Text), "\n"))
		switch m.Status {
		case "stopped":
			fmt.Fprintln(a.out, "(stopped)")
		case "failed":
			fmt.Fprintf(a.out, "(%s)\n", plain(m.Error))
		}
	}
	return nil
}

// historySearch prints where the words were found. It searches here: no word
// of the query leaves the terminal.
func (a *app) historySearch(h *history, args []string, asJSON bool) error {
	if len(args) == 0 {
		return usageError("search for what?", "sotto history search WORDS")
	}
	hits := h.replica.Search(strings.Join(args, " "), 100)
	if asJSON {
		if hits == nil {
			hits = []vault.Hit{}
		}
		return a.printJSON(map[string]any{"hits": hits})
	}
	for _, hit := range hits {
		c, _ := h.replica.Chat(hit.Chat)
		fmt.Fprintf(a.out, "%s  %s  %s\n", hit.Chat[:8], day(hit.Created), title(c))
		if hit.Message != "" {
			fmt.Fprintf(a.out, "    %s\n", plain(hit.Snippet))
		}
	}
	if len(hits) == 0 {
		a.say("nothing was found")
	}
	return nil
}

// historyExport prints everything, all branches, as one JSON document.
func (a *app) historyExport(h *history, args []string, _ bool) error {
	if len(args) > 0 {
		return usageError("“sotto history export” takes no argument", "It prints everything: sotto history export >chats.json")
	}
	doc := struct {
		Format string           `json:"format"`
		V      int              `json:"v"`
		Chats  []vault.Document `json:"chats"`
	}{Format: "sotto-export", V: 1, Chats: []vault.Document{}}
	for _, c := range h.replica.Chats() {
		doc.Chats = append(doc.Chats, vault.NewDocument(c, h.replica.Messages(c.ID)))
	}
	a.say("this is your history in the clear: whoever gets it can read it")
	return a.printJSON(doc)
}

// historyRejoin goes on with the server's copy after it went back or showed
// another history. It asks once: without -yes it only says what there is to
// decide.
func (a *app) historyRejoin(ctx context.Context, h *history, args []string, yes bool) error {
	if len(args) > 0 {
		return usageError("“sotto history rejoin” takes no argument", "")
	}
	err := h.sync(ctx)
	switch {
	case err == nil:
		a.say("the server’s copy fits what this terminal has; there is nothing to decide")
		return nil
	case !canRejoin(err):
		return err
	case !yes:
		_, _, code := words(err)
		return &failure{
			err: errors.New("the server’s copy of the history doesn’t fit what this terminal has seen: " + innermost(err) +
				". A server that was repaired goes back like this; one that hides something does too"),
			hint: "Everything that this terminal has is kept. To take the history that the server has now, and save there again what only this terminal has: sotto history rejoin -yes",
			code: code,
		}
	}
	lost, err := h.rejoin(ctx)
	if err != nil {
		return err
	}
	a.say("the history is in step with the server again; %d records that the server didn’t have were saved there", lost)
	return nil
}

// deviceCommand is "sotto device list": where the account is signed in.
func (a *app) deviceCommand(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	asJSON := fs.Bool("json", false, "print it as JSON")
	rest, err := a.parse(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) != 1 || rest[0] != "list":
		return usageError("device what?", "sotto device list")
	}
	h, err := openHistory(server.url)
	if err != nil {
		return err
	}
	root, err := h.device.root()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	var in struct {
		Sessions []struct {
			ID      string `json:"id"`
			Kind    string `json:"kind"`
			Label   []byte `json:"label"`
			Seen    string `json:"seen"`
			Current bool   `json:"current"`
		} `json:"sessions"`
	}
	if _, err := h.account.do(ctx, "GET", "sessions", nil, &in); err != nil {
		return err
	}
	type session struct {
		ID      string `json:"id"`
		Kind    string `json:"kind"`
		Name    string `json:"name"`
		Seen    string `json:"seen"`
		Current bool   `json:"current"`
	}
	sessions := []session{}
	for _, s := range in.Sessions {
		name, err := vault.OpenLabel(root, h.device.Account, s.Label)
		if err != nil {
			name = ""
		}
		sessions = append(sessions, session{s.ID, s.Kind, name, s.Seen, s.Current})
	}
	if *asJSON {
		return a.printJSON(map[string]any{"sessions": sessions})
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, s := range sessions {
		this := ""
		if s.Current {
			this = "(this terminal)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", plain(s.Kind), plain(s.Seen), plain(s.Name), this)
	}
	return w.Flush()
}

// findChat finds the one chat whose id begins with prefix.
func findChat(r *vault.Replica, prefix string) (vault.Chat, error) {
	var found []vault.Chat
	for _, c := range r.Chats() {
		if strings.HasPrefix(c.ID, strings.ToLower(prefix)) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return vault.Chat{}, withHint(fmt.Errorf("there is no chat %s", prefix), "sotto history list prints the ids.")
	case 1:
		return found[0], nil
	}
	return vault.Chat{}, withHint(fmt.Errorf("%d chats begin with %s", len(found), prefix), "Give more characters of the id.")
}

// canRejoin says whether a person can decide to go on with the server's copy: it
// went back, or became another one.
func canRejoin(err error) bool {
	return errors.Is(err, vault.ErrRollback) || errors.Is(err, vault.ErrFork)
}

// breaksTrust says whether the server contradicts what it showed before.
func breaksTrust(err error) bool {
	for _, bad := range []error{vault.ErrRollback, vault.ErrFork, vault.ErrHidden, vault.ErrTampered} {
		if errors.Is(err, bad) {
			return true
		}
	}
	return false
}

func (a *app) printJSON(doc any) error { return json.NewEncoder(a.out).Encode(doc) }

func title(c vault.Chat) string {
	if c.Title == "" {
		return "(no title)"
	}
	return plain(c.Title)
}

// day writes a time of the vault, in milliseconds.
func day(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02 15:04") }
