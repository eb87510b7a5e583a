// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Change is one difference between two releases.
type Change struct {
	Part string `json:"part"`           // where in the manifest: "node.arguments", "models"
	Name string `json:"name,omitempty"` // which of several there: a path, a rule
	Text string `json:"text"`           // in words
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// Diff says in words how a release differs from another, in the order of the
// manifest. Nothing that differs is passed over.
func Diff(old, new Manifest) []Change {
	d := &differ{}
	d.value("product", "The product", old.Product, new.Product)
	d.value("version", "The version", old.Version, new.Version)
	d.value("commit", "The source commit", old.Commit, new.Commit)
	d.value("time", "The time of the description", number(old.Time), number(new.Time))
	d.value("index", "The place in the log", number(old.Index), number(new.Index))
	d.value("toolchain", "The compiler", old.Toolchain, new.Toolchain)
	d.value("minimum_version", "The oldest version that is still good", old.MinimumVersion, new.MinimumVersion)
	d.set("revoked", "The release", "is revoked by name", "is no longer revoked by name", old.Revoked, new.Revoked)

	d.set("machines.require", "Hardware of kind", "is now required", "is no longer required", old.Machines.Require, new.Machines.Require)
	d.value("machines.max_lifetime", "The longest life of a key, in seconds", number(old.Machines.MaxLifetime), number(new.Machines.MaxLifetime))
	d.pairs("machines.platforms", "The rule for", rules(old.Machines.Platforms), rules(new.Machines.Platforms))
	d.set("measured", "What is measured of", "is described", "is no longer described", names(old.Measured), names(new.Measured))
	d.pairs("measured", "What was measured,", measured(old.Measured), measured(new.Measured))

	d.value("node.binary", "The node’s program", old.Node.Binary, new.Node.Binary)
	d.pairs("node.images", "The image", paths(old.Node.Images), paths(new.Node.Images))
	d.pairs("node.config", "The node’s file", paths(old.Node.Config), paths(new.Node.Config))
	d.pairs("node.environment", "The node’s variable", variables(old.Node.Environment), variables(new.Node.Environment))
	d.value("node.arguments", "The node’s arguments", arguments(old.Node.Arguments), arguments(new.Node.Arguments))

	d.value("engine.name", "The engine", old.Engine.Name, new.Engine.Name)
	d.value("engine.version", "The engine’s version", old.Engine.Version, new.Engine.Version)
	d.value("engine.digest", "The engine’s program", old.Engine.Digest, new.Engine.Digest)
	d.pairs("engine.environment", "The engine’s variable", variables(old.Engine.Environment), variables(new.Engine.Environment))
	d.value("engine.arguments", "The engine’s arguments", arguments(old.Engine.Arguments), arguments(new.Engine.Arguments))

	d.pairs("models", "The model", models(old.Models), models(new.Models))
	d.pairs("web.files", "The page’s file", paths(old.Web.Files), paths(new.Web.Files))
	d.value("web.core", "The page’s core", old.Web.Core, new.Web.Core)
	before := len(d.changes)
	d.set("log", "In the log’s policy the line", "is new", "is gone", lines(old.Log), lines(new.Log))
	if len(d.changes) == before && old.Log != new.Log {
		d.changes = append(d.changes, Change{"log", "", "The log’s policy is written in another way.", old.Log, new.Log})
	}
	d.set("issuers", "The issuer’s key", "is new", "is gone", old.Issuers, new.Issuers)
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) value(part, what, old, new string) {
	if old != new {
		d.changes = append(d.changes, Change{part, "", what + " changes from " + shown(old) + " to " + shown(new) + ".", old, new})
	}
}

// set compares lists in which each item stands once.
func (d *differ) set(part, what, came, went string, old, new []string) {
	for _, s := range old {
		if !has(new, s) {
			d.changes = append(d.changes, Change{part, "", what + " " + shown(s) + " " + went + ".", s, ""})
		}
	}
	for _, s := range new {
		if !has(old, s) {
			d.changes = append(d.changes, Change{part, "", what + " " + shown(s) + " " + came + ".", "", s})
		}
	}
}

// pairs compares lists of names with values.
func (d *differ) pairs(part, what string, old, new []Value) {
	for _, o := range old {
		n, ok := find(new, o.Name)
		switch {
		case !ok:
			d.changes = append(d.changes, Change{part, o.Name, what + " " + o.Name + " is gone; it was " + shown(o.Value) + ".", o.Value, ""})
		case n != o.Value:
			d.changes = append(d.changes, Change{part, o.Name, what + " " + o.Name + " changes from " + shown(o.Value) + " to " + shown(n) + ".", o.Value, n})
		}
	}
	for _, n := range new {
		if _, ok := find(old, n.Name); !ok {
			d.changes = append(d.changes, Change{part, n.Name, what + " " + n.Name + " is new: " + shown(n.Value) + ".", "", n.Value})
		}
	}
}

func find(l []Value, name string) (string, bool) {
	for _, v := range l {
		if v.Name == name {
			return v.Value, true
		}
	}
	return "", false
}

func has(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}

// shown shortens digests and says "nothing" where there is nothing.
func shown(s string) string {
	hex, isDigest := strings.CutPrefix(s, "sha256:")
	switch {
	case s == "":
		return "nothing"
	case isDigest && len(hex) == 64:
		return "sha256:" + hex[:12] + "…"
	case lowerHex(s, 40) || lowerHex(s, 64):
		return s[:12] + "…"
	case len(s) > 200:
		return s[:200] + "…"
	}
	return s
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func paths(l []File) []Value {
	out := make([]Value, len(l))
	for i, f := range l {
		out[i] = Value{f.Path, f.SHA256}
	}
	return out
}

func variables(l []string) []Value {
	out := make([]Value, len(l))
	for i, s := range l {
		out[i].Name, out[i].Value, _ = strings.Cut(s, "=")
	}
	return out
}

// arguments joins arguments as they would be written on a command line, so that
// different lists give different text.
func arguments(l []string) string {
	out := ""
	for i, a := range l {
		if i > 0 {
			out += " "
		}
		if a == "" || strings.ContainsAny(a, " \t\n\"\\") {
			a = strconv.Quote(a)
		}
		out += a
	}
	return out
}

func lines(text string) []string { return strings.Split(text, "\n") }

func models(l []Model) []Value {
	var out []Value
	for _, m := range l {
		out = append(out, Value{m.ID + "’s weights", m.Weights}, Value{m.ID + "’s tokenizer", m.Tokenizer}, Value{m.ID + "’s template", m.Template})
	}
	return out
}

func names(l []Measured) (out []string) {
	for _, m := range l {
		out = append(out, m.Platform)
	}
	return out
}

func measured(l []Measured) []Value {
	var out []Value
	for _, m := range l {
		for _, v := range m.Inputs {
			out = append(out, Value{m.Platform + "’s input " + v.Name, v.Value})
		}
		for _, v := range m.Values {
			out = append(out, Value{m.Platform + "’s " + v.Name, v.Value})
		}
	}
	return out
}

// rules names each rule of each platform, with its value as JSON.
func rules(platforms map[string]json.RawMessage) []Value {
	var out []Value
	for _, platform := range sortedKeys(platforms) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(platforms[platform], &fields) != nil || len(fields) == 0 {
			out = append(out, Value{platform, string(platforms[platform])})
			continue
		}
		for _, f := range sortedKeys(fields) {
			var b bytes.Buffer
			_ = json.Compact(&b, fields[f]) // which was decoded before
			out = append(out, Value{platform + "’s " + f, b.String()})
		}
	}
	return out
}

func sortedKeys(m map[string]json.RawMessage) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
