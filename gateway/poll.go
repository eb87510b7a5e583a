// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/internal/lines"
)

const (
	pollTime    = 5 * time.Second
	maxEvidence = 24 << 20 // bytes of a node's answer: a few bundles in base64
	maxBundles  = 4
	maxKeys     = 32 // remembered per node
	// maxListed bounds the list for clients. Of more nodes it is a sample, the
	// same for everybody until the next poll.
	maxListed = 64
)

type keyID = [16]byte

// poll asks every node for its evidence, and makes the list anew.
func (g *Gateway) poll(ctx context.Context) {
	g.polling.Lock()
	defer g.polling.Unlock()
	g.askAll(ctx)
}

// pollAgain polls if the last poll began more than a second ago, having waited
// for one that is going on. It is for a request that names a key which nobody
// seems to have: a node may just have made it.
func (g *Gateway) pollAgain(ctx context.Context) {
	g.polling.Lock()
	defer g.polling.Unlock()
	if time.Since(g.polled) > time.Second {
		g.askAll(context.WithoutCancel(ctx)) // others wait for it too
	}
}

// askAll does the work of a poll. The caller holds polling.
func (g *Gateway) askAll(ctx context.Context) {
	g.polled = time.Now()
	var wg sync.WaitGroup
	places := make(chan struct{}, 32)
	for _, n := range g.nodes {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			err := g.ask(ctx, n)
			if ctx.Err() != nil {
				return
			}
			if up := err == nil; n.alive.Swap(up) != up {
				if up {
					g.log.Info("node answers", lines.Own("node", n.name))
				} else {
					g.log.Warn("node doesn't answer", lines.Own("node", n.name), lines.Err(err))
				}
			}
		})
	}
	wg.Wait()
	g.publish()
}

// ask gets a node's evidence and remembers it.
func (g *Gateway) ask(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.base+"sotto/v1/evidence", nil)
	if err != nil {
		return err
	}
	req.Header["User-Agent"] = nil
	res, err := g.client.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxEvidence+1))
	if err != nil {
		return err
	}
	bundles, keys, id, err := parseEvidence(doc)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id != n.id { // the node has started anew
		n.id, n.keys = id, nil
	}
	n.bundles, n.met = bundles, time.Now()
	for _, k := range slices.Backward(keys) {
		n.keys = append(slices.DeleteFunc(n.keys, func(o keyID) bool { return o == k }), k)
	}
	if extra := len(n.keys) - maxKeys; extra > 0 {
		n.keys = slices.Delete(n.keys, 0, extra)
	}
	return nil
}

// parseEvidence reads a node's evidence document as far as a gateway needs to:
// the bundles as they are, the ids of their keys, and the node's id. Whether any
// of it is true is for clients to judge (spec/evidence.md).
func parseEvidence(doc []byte) (bundles [][]byte, keys []keyID, id string, err error) {
	if len(doc) > maxEvidence {
		return nil, nil, "", errors.New("evidence document too large")
	}
	var outer struct {
		V       int      `json:"v"`
		Bundles [][]byte `json:"bundles"`
	}
	if json.Unmarshal(doc, &outer) != nil || outer.V != 1 || len(outer.Bundles) < 1 || len(outer.Bundles) > maxBundles {
		return nil, nil, "", errors.New("not an evidence document")
	}
	for _, b := range outer.Bundles {
		var bundle struct {
			KeyConfig []byte `json:"key_config"`
		}
		var config struct {
			Node string `json:"node"`
		}
		if json.Unmarshal(b, &bundle) != nil || json.Unmarshal(bundle.KeyConfig, &config) != nil || !nodeID(config.Node) {
			return nil, nil, "", errors.New("not a bundle")
		}
		if id != "" && config.Node != id {
			return nil, nil, "", errors.New("bundles of two nodes")
		}
		id = config.Node
		keys = append(keys, keyIDOf(bundle.KeyConfig))
	}
	return outer.Bundles, keys, id, nil
}

// keyIDOf is the id of the key that a key config describes (spec/evidence.md,
// "Key id").
func keyIDOf(config []byte) keyID {
	h := sha256.New()
	h.Write([]byte("sotto/1 key id\x00"))
	h.Write(config)
	return keyID(h.Sum(nil))
}

func nodeID(s string) bool {
	if len(s) != 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// publish makes the list of live nodes anew.
func (g *Gateway) publish() {
	type entry struct {
		ID      string   `json:"id"`
		Bundles [][]byte `json:"bundles"`
	}
	doc := struct {
		V     int     `json:"v"`
		Nodes []entry `json:"nodes"`
	}{1, []entry{}}
	var ids []string
	for _, n := range g.nodes {
		n.mu.Lock()
		if n.id != "" && time.Since(n.met) < awayStays {
			ids = append(ids, n.id)
		}
		n.mu.Unlock()
		if !n.alive.Load() {
			continue
		}
		n.mu.Lock()
		doc.Nodes = append(doc.Nodes, entry{n.id, n.bundles})
		n.mu.Unlock()
	}
	g.lists.add(ids)
	rand.Shuffle(len(doc.Nodes), func(i, j int) { doc.Nodes[i], doc.Nodes[j] = doc.Nodes[j], doc.Nodes[i] })
	doc.Nodes = doc.Nodes[:min(len(doc.Nodes), maxListed)]
	b, err := json.Marshal(doc)
	if err != nil { // a struct of strings always marshals
		panic(err)
	}
	g.list.Store(&b)
}
