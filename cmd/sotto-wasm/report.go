// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/sotto-chat/sotto/vault"
)

// report lists who answered what, from the receipts on this device.
func (c *core) report(context.Context) ([]vault.Answered, error) {
	v, err := c.unlocked()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return v.replica.Report(), nil
}
