// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sotto-chat/sotto/attest"
)

// Limits of a node list, which comes from a stranger (spec/evidence.md, "Limits").
const (
	maxNodeList = 16 << 20 // bytes
	maxNodes    = 64
	maxBundles  = 4 // per node; two keys are live at a time
	// maxCommas bounds what becomes of the list in memory: three bytes between two
	// commas can take a hundred. A list has some hundred.
	maxCommas = 1 << 14
)

// listedNode is one entry of the node list: nothing in it is believed.
type listedNode struct {
	ID      string
	Bundles [][]byte
	// listed says that this place is the node's on the list in the key log, so that
	// nobody else's key may stand there.
	listed bool
}

// fetchNodes asks the service which nodes there are.
func (c *Client) fetchNodes(ctx context.Context) ([]listedNode, error) {
	b, err := c.get(ctx, pathNodes, maxNodeList)
	if err != nil {
		return nil, err
	}
	return parseNodeList(b)
}

// parseNodeList reads {"v":1,"nodes":[{"id":"…","bundles":["<base64>",…]},…]}.
// Fields it doesn't know are left aside: what counts is signed inside the
// bundles, and package attest refuses anything strange there.
func parseNodeList(b []byte) ([]listedNode, error) {
	if len(b) > maxNodeList {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrNodeList, maxNodeList)
	}
	if bytes.Count(b, []byte{','}) > maxCommas {
		return nil, fmt.Errorf("%w: more than %d parts", ErrNodeList, maxCommas)
	}
	var list struct {
		V     int `json:"v"`
		Nodes []struct {
			ID      string   `json:"id"`
			Bundles [][]byte `json:"bundles"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%w: it is not the expected JSON", ErrNodeList)
	}
	switch {
	case list.V != 1:
		return nil, fmt.Errorf("%w: version %d", ErrNodeList, list.V)
	case len(list.Nodes) > maxNodes:
		return nil, fmt.Errorf("%w: more than %d nodes", ErrNodeList, maxNodes)
	}
	var nodes []listedNode
	for _, n := range list.Nodes {
		if len(n.Bundles) > maxBundles {
			return nil, fmt.Errorf("%w: more than %d bundles for one node", ErrNodeList, maxBundles)
		}
		for _, b := range n.Bundles {
			if len(b) > attest.MaxBundle {
				return nil, fmt.Errorf("%w: a bundle is longer than %d bytes", ErrNodeList, attest.MaxBundle)
			}
		}
		if len(n.Bundles) > 0 { // a node that is just starting has none yet
			nodes = append(nodes, listedNode{ID: n.ID, Bundles: n.Bundles})
		}
	}
	return nodes, nil
}

// unreachable wraps a transport's error, unless it is the caller's own doing.
func unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
