// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/evidencefile"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// attestTable makes, of NVIDIA's two signed lists of measurements, the table that
// a machine sends along and a policy pins: clients don't read XML.
func (a *app) attestTable(args []string) error {
	fs := a.flags()
	at := fs.String("time", "", "check the signatures as of this `TIME`; now when not given")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	now, err := parseTime(*at)
	if err != nil {
		return err
	}
	if len(rest) != 2 {
		return usageError("it takes two of NVIDIA’s lists, the driver’s and the VBIOS’s", "“sotto attest show” prints their names, docs/hardware.md says where they are")
	}
	if isTerminal(a.out) {
		return usageError("a table is bytes and nothing to read", "send it into a file: sotto attest table "+rest[0]+" "+rest[1]+" > DIR/nvidia/table")
	}
	var docs [][]byte
	for _, name := range rest {
		b, err := collateral.ReadFile(name, collateral.MaxSize)
		if err != nil {
			return withHint(err, "")
		}
		docs = append(docs, b)
	}
	tables, err := evidencefile.Tables(docs, now, nil)
	if err != nil {
		return withHint(err, "")
	}
	if _, err := a.out.Write(tables[0]); err != nil { // two lists make one
		return err
	}
	t, err := nvidia.ParseTable(tables[0])
	if err != nil {
		return fmt.Errorf("the table can’t be read: %w", err)
	}
	a.say("driver %s on VBIOS %s; a policy pins it as %s", t.Driver, t.VBIOS, nvidia.TableDigest(tables[0]))
	return nil
}
