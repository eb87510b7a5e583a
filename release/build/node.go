// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"strings"
)

// What a node does follows from its program, its flags and its environment. So each
// flag is on one of the two lists below, which a test compares with the program.

// NodeFlags are the flags that change what a node does. Those that a machine is
// given stand in the manifest; one that isn't there has its default.
var NodeFlags = []string{"engine", "keep-answers", "kept-memory", "max-requests", "drain", "platforms"}

// NodeBeside are the flags that may differ between machines of one release, and why
// that changes nothing for whoever trusts it.
var NodeBeside = map[string]string{
	"listen":          "where gateways reach the node; what they bring and take is sealed",
	"debug-listen":    "where the operator reads counts; nothing in them derives from a request",
	"collateral":      "what makers publish of their hardware; clients check every signature on it",
	"engine-key-file": "a secret between node and engine of one machine; what it opens is the engine that the manifest names",
	"release":         "the manifest's own digest, which it can't hold; clients compare it with the log",
	"log":             "where the node fetches the log's checkpoint; clients check its signatures and witnesses",
	"version":         "prints the version and ends",
}

// NodeVariables are the environment variables that code of ours in a node reads.
var NodeVariables = []string{}

// CheckNode refuses arguments and variables of a node that can't be what it is
// given.
func CheckNode(args, env []string) error {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(strings.TrimPrefix(args[i], "-"), "-")
		if !isFlag {
			name, isFlag = strings.CutPrefix(args[i], "-")
		}
		if !isFlag || name == "" {
			return fmt.Errorf("node.arguments: %q is not a flag", args[i])
		}
		name, _, whole := strings.Cut(name, "=")
		if _, beside := NodeBeside[name]; !beside && !contains(NodeFlags, name) {
			return fmt.Errorf("node.arguments: sotto-node has no flag -%s", name)
		}
		switch name {
		case "release":
			return fmt.Errorf("node.arguments: -release can't stand in a manifest, since it is the manifest's own digest; give it to the node when the release is published")
		case "version":
			return fmt.Errorf("node.arguments: -version ends the node at once")
		}
		if !whole {
			if i++; i == len(args) {
				return fmt.Errorf("node.arguments: -%s lacks its value", name)
			}
		}
	}
	seen := map[string]bool{}
	for _, kv := range env {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return fmt.Errorf("node.environment: %q is not NAME=value", kv)
		}
		if seen[name] {
			return fmt.Errorf("node.environment: %s stands there twice", name)
		}
		seen[name] = true
	}
	return nil
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}
