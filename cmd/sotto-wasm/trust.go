// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/platforms"
	"github.com/sotto-chat/sotto/client"
)

// trust is the core's view of the machines that answer.
type trust struct {
	client  *client.Client
	policy  attest.Policy
	consent bool   // demo hardware was accepted in this browser
	models  string // the release whose models were listed last, with its state
	kept    keptTrust
}

// keptTrust is what this browser remembers of machines and of the public log. It
// holds no secret; without it, a change would go unnoticed.
type keptTrust struct {
	Releases []string        `json:"releases,omitempty"` // that the person has talked to
	Log      json.RawMessage `json:"log,omitempty"`      // how far the public log was seen
}

// trustDoc is Trust of web/src/core/protocol.ts.
type trustDoc struct {
	State     string           `json:"state"`
	Line      string           `json:"line"`
	Detail    string           `json:"detail"`
	CheckedAt int64            `json:"checkedAt"` // ms
	Verdicts  []attest.Verdict `json:"verdicts"`
}

type startArgs struct {
	Origin  string `json:"origin"`
	Local   bool   `json:"local"`   // the page's host is this machine
	Consent bool   `json:"consent"` // demo hardware was accepted before
	Kept    string `json:"kept"`    // what host.keep was last given; "" at first
	Policy  string `json:"policy"`  // what the page was built to want of machines, as JSON; "" for nothing beyond the strict rules
}

// start begins to check the machines. It doesn't wait for the outcome.
func (c *core) start(_ context.Context, a startArgs) (none, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.origin, c.local = a.Origin, a.Local
	if a.Policy != "" {
		p, err := platforms.ParsePolicy([]byte(a.Policy), platforms.All())
		if err != nil {
			return none{}, fmt.Errorf("core: the page's policy: %w", err)
		}
		c.trust.policy = p
	}
	json.Unmarshal([]byte(a.Kept), &c.trust.kept) // what can't be read is nothing kept
	c.connect(a.Consent && a.Local)
	return none{}, nil
}

// remember has the Worker remember what change made of the kept document. It is called
// by the client, which may be waiting with a lock of the core held: not from there.
func (c *core) remember(from *client.Client, change func(*keptTrust)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trust.client != from {
		return
	}
	change(&c.trust.kept)
	if b, err := json.Marshal(c.trust.kept); err == nil { // which it always is
		c.host.keep(string(b))
	}
}

// connect makes the client anew with the policy that consent gives, and has it
// check. c.mu is held.
func (c *core) connect(consent bool) {
	if c.trust.client != nil {
		c.trust.client.CloseNow()
	}
	// Only the person accepts a demo, whatever the page was built to want.
	policy := c.trust.policy
	policy.AllowSoftware = consent
	var mine *client.Client
	mine = client.New(client.Config{
		Transport: watched{c},
		Policy:    policy,
		Platforms: platforms.All(),
		Page:      c.page.checks,
		Through:   c.through,
		Wallet:    c.openWallet,
		Seen:      c.trust.kept.Releases,
		LogSeen:   c.trust.kept.Log,
		OnSeen: func(releases []string) {
			go c.remember(mine, func(k *keptTrust) { k.Releases = releases })
		},
		OnLogSeen: func(b []byte) {
			go c.remember(mine, func(k *keptTrust) { k.Log = b })
		},
		OnStatus: func(client.Status) {
			// Not from here: the client may be waiting for this to return.
			go c.statusChanged(mine)
		},
	})
	c.trust = trust{client: mine, policy: c.trust.policy, consent: consent, kept: c.trust.kept}
	go mine.Verify(context.Background()) // OnStatus hears of the outcome
}

// statusChanged tells the page, and lists the models once machines are checked.
func (c *core) statusChanged(from *client.Client) {
	c.mu.Lock()
	s := from.Status()
	current := c.trust.client == from
	list := false
	if current {
		c.host.emit(map[string]any{"t": "trust", "trust": c.trustDoc(s)})
		c.serviceIs(from.Service(), s.Err)
		if key := string(s.State) + " " + s.Release; s.State.MaySend() && c.trust.models != key {
			c.trust.models, list = key, true
		}
	}
	c.mu.Unlock()
	if list {
		c.listModels(from)
	}
}

// trustDoc writes a status for the page. c.mu is held.
func (c *core) trustDoc(s client.Status) trustDoc {
	d := trustDoc{State: string(s.State), Line: s.Line, Detail: s.Detail, CheckedAt: s.CheckedAt * 1000, Verdicts: s.Verdicts}
	if d.Verdicts == nil {
		d.Verdicts = []attest.Verdict{}
	}
	if s.State == client.StateFailed && c.local && !c.trust.consent && onlySoftware(s.Err) {
		d.State = "consent"
		d.Line = "Demo hardware — not private"
		d.Detail = "This machine has no protected hardware: whoever runs it could read what you write. " +
			"To try Sotto on your own computer, accept that once."
	}
	return d
}

// onlySoftware says whether machines were refused for no other reason than that
// their evidence proves nothing by design.
func onlySoftware(err error) bool {
	var nv *client.NotVerifiedError
	if !errors.As(err, &nv) {
		return false
	}
	for _, v := range nv.Verdicts {
		if v.Failure != attest.FailSoftwareRefused {
			return false
		}
	}
	return true
}

// acceptDemo accepts demo hardware from now on.
func (c *core) acceptDemo(context.Context, none) (none, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.local {
		return none{}, errNotLocal
	}
	if !c.trust.consent {
		c.connect(true)
	}
	return none{}, nil
}

// check checks the machines again and returns what came of it.
func (c *core) check(ctx context.Context) (trustDoc, error) {
	c.mu.Lock()
	cl := c.trust.client
	c.mu.Unlock()
	cl.Verify(ctx) // the status says what came of it
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trustDoc(cl.Status()), nil
}

// proof is what a person keeps of a check: the verdicts, and the exact evidence
// that the service shows, so that anybody can judge it again.
func (c *core) proof(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	cl, origin := c.trust.client, c.origin
	c.mu.Unlock()
	s := cl.Status()
	doc := struct {
		V        int              `json:"v"`
		Server   string           `json:"server"`
		Made     string           `json:"made"`
		State    string           `json:"state"`
		Verdicts []attest.Verdict `json:"verdicts"`
		Nodes    json.RawMessage  `json:"nodes,omitempty"`
	}{V: 1, Server: origin, Made: time.Now().UTC().Format(time.RFC3339), State: string(s.State), Verdicts: s.Verdicts}
	if resp, err := c.host.RoundTrip(ctx, &client.Request{Method: "GET", Path: "/sotto/v1/nodes"}); err == nil {
		b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
		resp.Body.Close()
		if err == nil && resp.Status == 200 && json.Valid(b) {
			doc.Nodes = b
		}
	}
	return json.MarshalIndent(doc, "", "  ")
}

// modelDoc is Model of web/src/core/protocol.ts.
type modelDoc struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Demo    bool   `json:"demo"`
	Context int    `json:"context,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Engine  string `json:"engine,omitempty"`
}

// listModels asks the nodes what they serve and tells the page. If that fails,
// the next change of status asks again.
func (c *core) listModels(from *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	doc, err := from.Models(ctx)
	var models []modelDoc
	if err == nil {
		models, err = readModels(doc)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trust.client != from {
		return
	}
	if err != nil {
		c.trust.models = ""
		e := explain(err)
		c.notice("warn", e.Code, e.Message)
		return
	}
	c.host.emit(map[string]any{"t": "models", "models": models})
}

// owners are the engines that name themselves in a model list.
var owners = map[string]string{
	"sotto": "built-in", "llamacpp": "llama.cpp", "vllm": "vLLM", "sglang": "SGLang", "library": "Ollama", "organization_owner": "LM Studio",
}

// readModels reads an OpenAI model list. Beyond the id, model servers agree on
// nothing: a name for people, the context's length, the digest of the weights
// and the demo mark are taken from where each of them writes it.
func readModels(doc []byte) ([]modelDoc, error) {
	var list struct {
		Data []struct {
			ID          string `json:"id"`
			OwnedBy     string `json:"owned_by"`
			MaxModelLen int    `json:"max_model_len"` // vLLM, SGLang
			Meta        struct {
				Name      string `json:"name"`
				Demo      bool   `json:"demo"`
				Context   int    `json:"context"`
				Digest    string `json:"digest"`
				NCtx      int    `json:"n_ctx"`       // llama.cpp: of one conversation
				NCtxTrain int    `json:"n_ctx_train"` // llama.cpp: of the file
			} `json:"meta"`
		} `json:"data"`
	}
	if err := json.Unmarshal(doc, &list); err != nil {
		return nil, &coreError{"model_server", "The list of models can’t be read. Try again; if it happens again, whoever runs the server has to look at it."}
	}
	models := []modelDoc{}
	for _, m := range list.Data {
		if m.ID == "" {
			continue
		}
		d := modelDoc{
			ID: m.ID, Name: cmp.Or(m.Meta.Name, fileName(m.ID)), Demo: m.Meta.Demo, Digest: m.Meta.Digest, Engine: owners[m.OwnedBy],
			Context: cmp.Or(m.Meta.Context, m.MaxModelLen, m.Meta.NCtx, m.Meta.NCtxTrain),
		}
		models = append(models, d)
	}
	return models, nil
}

// fileName makes a name of an id that is a model file's path.
func fileName(id string) string {
	if base, ok := strings.CutSuffix(id, ".gguf"); ok {
		return base[strings.LastIndexAny(base, `/\`)+1:]
	}
	return id
}

// notice tells the page a sentence that nobody asked for. c.mu is held.
func (c *core) notice(kind, code, text string) {
	c.host.emit(map[string]any{"t": "notice", "kind": kind, "code": code, "text": text})
}
