// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package auto

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/lines"
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
func detect(ctx context.Context, o Options) engine.Engine {
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
		up     engine.Engine
		models int
		why    string
	}
	outcomes := make([]chan outcome, len(probes))
	for i, p := range probes {
		outcomes[i] = make(chan outcome, 1)
		go func(result chan<- outcome) {
			// Without a key: whatever listens there may be anybody's.
			up, err := engine.Open(engine.Options{Spec: p.URL, Name: p.Name + " at " + p.URL, FirstByte: o.FirstByte, Idle: o.Idle})
			if err != nil {
				result <- outcome{why: err.Error()}
				return
			}
			models, why := introduce(ctx, p.URL)
			result <- outcome{up, models, why}
		}(outcomes[i])
	}

	log := lines.To(o.Logger)
	var found engine.Engine
	for i, c := range outcomes {
		r := <-c
		switch {
		case found != nil:
			if r.up != nil {
				r.up.Close()
			}
		case r.why != "":
			log.Debug("no model server", lines.Own("name", probes[i].Name), lines.Own("url", probes[i].URL), lines.Own("why", r.why))
		case r.models == 0:
			log.Info("a model server without models was passed over", lines.Own("name", probes[i].Name), lines.Own("url", probes[i].URL))
			r.up.Close()
		default:
			found = r.up
		}
	}
	return found
}

// introduce asks whoever answers at an address for a model list, and returns how
// many models there are. why is "" when that is a model server and not ourselves.
func introduce(ctx context.Context, url string) (models int, why string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/models", nil)
	if err != nil {
		return 0, "it has no address"
	}
	alone := &http.Transport{Proxy: nil, DisableKeepAlives: true} // and no redirect is followed
	res, err := alone.RoundTrip(req)
	if err != nil {
		return 0, "nothing answers"
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return 0, "it wants an API key"
	default:
		return 0, "it has no model list"
	}
	// A door of Sotto's own speaks the same API. Taking it for a model server
	// would send every question round in a circle.
	for name := range res.Header {
		if strings.HasPrefix(name, "Sotto-") {
			return 0, "it is Sotto itself"
		}
	}
	var list struct {
		Object string `json:"object"`
		Data   *[]struct {
			OwnedBy string `json:"owned_by"`
		} `json:"data"`
	}
	const most = 1 << 20
	if b, err := io.ReadAll(io.LimitReader(res.Body, most)); err != nil || json.Unmarshal(b, &list) != nil || list.Object != "list" && list.Data == nil {
		return 0, "it has no model list"
	}
	if list.Data == nil { // Ollama without a model says null
		return 0, ""
	}
	for _, m := range *list.Data {
		if m.OwnedBy == engine.OwnedBy {
			return 0, "it is Sotto itself"
		}
	}
	return len(*list.Data), ""
}
