// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"strings"
)

// Marks of the generated part of docs/threat-model.md.
const (
	tableBegins = "<!-- attacks: written by go test ./test/evil -update -->\n"
	tableEnds   = "<!-- end of attacks -->\n"
)

// markdown is all attacks, a table for each class.
func markdown() string {
	var b strings.Builder
	class := ""
	for _, a := range attacks() {
		if a.Class != class {
			class = a.Class
			fmt.Fprintf(&b, "\n**%s%s**\n\n| attack | promise | who one has to be | what comes of it |\n|---|---|---|---|\n", strings.ToUpper(class[:1]), class[1:])
		}
		failure := "`" + a.Failure + "`"
		if a.Failure == nothing {
			failure = nothing
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.Name, a.Promise, a.Attacker, failure)
	}
	return b.String() + "\n"
}

// withTable puts the table between the marks of a document.
func withTable(doc []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(doc, []byte(tableBegins))
	_, after, ok2 := bytes.Cut(rest, []byte(tableEnds))
	if !ok || !ok2 {
		return nil, fmt.Errorf("the marks of the table are missing: %s", strings.TrimSpace(tableBegins))
	}
	return fmt.Appendf(nil, "%s%s%s%s%s", before, tableBegins, markdown(), tableEnds, after), nil
}
