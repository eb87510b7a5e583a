// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"
)

// models lists what can be asked.
func (a *app) models(args []string) error {
	fs := a.flags()
	server := addServerFlags(fs)
	asJSON := fs.Bool("json", false, "print the list as the model server gives it, as JSON")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	c, err := a.connect(ctx, server)
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := c.Models(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		fmt.Fprintf(a.out, "%s\n", list)
		return nil
	}
	var doc struct {
		Data []struct {
			ID   string `json:"id"`
			Meta struct {
				Name    string `json:"name"`
				Context int    `json:"context"`
			} `json:"meta"`
		} `json:"data"`
	}
	if err := json.Unmarshal(list, &doc); err != nil {
		return fmt.Errorf("model list: %w", err)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, m := range doc.Data {
		context := ""
		if m.Meta.Context > 0 {
			context = strconv.Itoa(m.Meta.Context) + " tokens"
		}
		name := m.Meta.Name
		if name == m.ID {
			name = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", plain(m.ID), plain(name), context)
	}
	return w.Flush()
}
