// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// A Probe is a place where "auto" looks for a model server.
type Probe struct {
	Name string // "Ollama"
	URL  string // "http://127.0.0.1:11434"
}

// DefaultProbe lists the usual loopback ports in the order of preference.
func DefaultProbe() []Probe {
	return []Probe{
		{"Ollama", "http://127.0.0.1:11434"},
		{"llama.cpp", "http://127.0.0.1:8080"},
		{"vLLM", "http://127.0.0.1:8000"},
		{"LM Studio", "http://127.0.0.1:1234"},
	}
}

const defaultProbeTimeout = 700 * time.Millisecond

// detect asks all probe addresses at once for their model list and returns the
// first, in order, that has one; nil if none does. Nothing but that question is
// sent, because whatever listens there may be anybody's.
func detect(ctx context.Context, o Options) Engine {
	probes := o.Probe
	if probes == nil {
		probes = DefaultProbe()
	}
	timeout := o.ProbeTimeout
	if timeout == 0 {
		timeout = defaultProbeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	type outcome struct {
		up     *upstream
		models []Model
		why    string
	}
	outcomes := make([]chan outcome, len(probes))
	for i, p := range probes {
		outcomes[i] = make(chan outcome, 1)
		go func(result chan<- outcome) {
			a, err := parseAddress(p.URL)
			if err != nil {
				result <- outcome{why: err.Error()}
				return
			}
			up := newUpstream(p.Name+" at "+a.String(), a, "", o)
			models, why := up.introduce(ctx)
			result <- outcome{up, models, why}
		}(outcomes[i])
	}

	var found *upstream
	for i, c := range outcomes {
		r := <-c
		switch {
		case found != nil:
			if r.up != nil {
				r.up.Close()
			}
		case r.why != "":
			o.Logger.Debug("no model server", "name", probes[i].Name, "url", probes[i].URL, "why", r.why)
		case len(r.models) == 0:
			o.Logger.Info("a model server without models was passed over", "name", probes[i].Name, "url", probes[i].URL)
			r.up.Close()
		default:
			found = r.up
		}
	}
	if found == nil { // not a typed nil in the interface
		return nil
	}
	return found
}

// introduce asks for the model list and checks that what answers is a model
// server and isn't ourselves. why is "" when it is one.
func (u *upstream) introduce(ctx context.Context) (models []Model, why string) {
	res, err := u.send(ctx, &Request{Method: "GET", Path: "/v1/models"})
	if err != nil {
		return nil, u.failure(err).Code
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return nil, "it wants an API key"
	}
	if res.StatusCode != http.StatusOK {
		return nil, "it has no model list"
	}
	// A door of Sotto's own speaks the same API. Taking it for a model server
	// would send every question round in a circle.
	for name := range res.Header {
		if strings.HasPrefix(name, "Sotto-") {
			return nil, "it is Sotto itself"
		}
	}
	models, err = readModelList(res.Body)
	if err != nil {
		return nil, "it has no model list"
	}
	for _, m := range models {
		if ownedByUs(m) {
			return nil, "it is Sotto itself"
		}
	}
	return models, ""
}
