// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"encoding/json"
	"sort"
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

// parts are those of a manifest, in its order, as they are called in words.
var parts = [...][2]string{
	{"product", "The product"},
	{"version", "The version"},
	{"commit", "The source commit"},
	{"time", "The time of the description"},
	{"index", "The place in the log"},
	{"toolchain", "The compiler"},
	{"minimum_version", "The oldest version that is still good"},
	{"revoked", "Among the revoked releases"},
	{"machines.require", "Among the required hardware"},
	{"machines.max_lifetime", "The longest life of a key, in seconds,"},
	{"machines.platforms", "The rule for"},
	{"measured", "What was measured,"},
	{"node.binary", "The node’s program"},
	{"node.images", "The image"},
	{"node.config", "The node’s file"},
	{"node.environment", "The node’s variable"},
	{"node.arguments", "The node’s command line"},
	{"engine.name", "The engine"},
	{"engine.version", "The engine’s version"},
	{"engine.digest", "The engine’s program"},
	{"engine.environment", "The engine’s variable"},
	{"engine.arguments", "The engine’s command line"},
	{"models", "The model"},
	{"web.files", "The page’s file"},
	{"web.core", "The page’s core"},
	{"log", "In the policy of the log the line"},
	{"issuers", "Among the issuers’ keys"},
	{"key_log", "In the policy of the key log the line"},
	{"relays", "Among the relays"},
}

// row is one thing that a manifest says: a value of its part, or of something by
// name in it, or just the name.
type row struct{ part, name, value string }

// Diff says in words how a release differs from another, in the order of the
// manifest. Nothing that differs is passed over, but for the form of the log's
// policy.
func Diff(old, new Manifest) (changes []Change) {
	was, is := rows(old), rows(new)
	for _, p := range parts {
		say := func(r row, then string, o, n string) {
			what := p[1]
			if r.name != "" {
				what += " " + shown(r.name)
			}
			changes = append(changes, Change{p[0], r.name, what + then + ".", o, n})
		}
		for _, o := range was {
			if o.part != p[0] {
				continue
			}
			switch n, ok := find(is, o); {
			case !ok && o.value == "":
				say(o, " is gone", o.name, "")
			case !ok:
				say(o, " is gone; it was "+shown(o.value), o.value, "")
			case n.value != o.value:
				say(o, " changes from "+shown(o.value)+" to "+shown(n.value), o.value, n.value)
			}
		}
		for _, n := range is {
			if n.part != p[0] {
				continue
			}
			switch _, ok := find(was, n); {
			case !ok && n.value == "":
				say(n, " is new", "", n.name)
			case !ok:
				say(n, " is new: "+shown(n.value), "", n.value)
			}
		}
	}
	return changes
}

func find(l []row, like row) (row, bool) {
	for _, r := range l {
		if r.part == like.part && r.name == like.name {
			return r, true
		}
	}
	return row{}, false
}

// rows is all that a manifest says but for its format.
func rows(m Manifest) (l []row) {
	add := func(part, name, value string) { l = append(l, row{part, name, value}) }
	names := func(part string, list []string) {
		for _, s := range list {
			add(part, s, "")
		}
	}
	files := func(part string, list []File) {
		for _, f := range list {
			add(part, f.Path, f.SHA256)
		}
	}
	variables := func(part string, list []string) {
		for _, s := range list {
			name, value, _ := strings.Cut(s, "=")
			add(part, name, value)
		}
	}
	add("product", "", m.Product)
	add("version", "", m.Version)
	add("commit", "", m.Commit)
	add("time", "", number(m.Time))
	add("index", "", number(m.Index))
	add("toolchain", "", m.Toolchain)
	add("minimum_version", "", m.MinimumVersion)
	names("revoked", m.Revoked)
	names("machines.require", m.Machines.Require)
	add("machines.max_lifetime", "", number(m.Machines.MaxLifetime))
	for _, p := range sortedKeys(m.Machines.Platforms) {
		raw := m.Machines.Platforms[p]
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil || len(fields) == 0 {
			add("machines.platforms", p, string(raw))
		}
		for _, f := range sortedKeys(fields) {
			var b bytes.Buffer
			_ = json.Compact(&b, fields[f]) // which was decoded before
			add("machines.platforms", p+"’s "+f, b.String())
		}
	}
	for _, x := range m.Measured {
		add("measured", x.Platform, "")
		for _, v := range x.Inputs {
			add("measured", x.Platform+"’s input "+v.Name, v.Value)
		}
		for _, v := range x.Values {
			add("measured", x.Platform+"’s "+v.Name, v.Value)
		}
	}
	add("node.binary", "", m.Node.Binary)
	files("node.images", m.Node.Images)
	files("node.config", m.Node.Config)
	variables("node.environment", m.Node.Environment)
	add("node.arguments", "", arguments(m.Node.Arguments))
	add("engine.name", "", m.Engine.Name)
	add("engine.version", "", m.Engine.Version)
	add("engine.digest", "", m.Engine.Digest)
	variables("engine.environment", m.Engine.Environment)
	add("engine.arguments", "", arguments(m.Engine.Arguments))
	for _, x := range m.Models {
		add("models", x.ID+"’s weights", x.Weights)
		add("models", x.ID+"’s tokenizer", x.Tokenizer)
		add("models", x.ID+"’s template", x.Template)
	}
	files("web.files", m.Web.Files)
	add("web.core", "", m.Web.Core)
	names("log", strings.FieldsFunc(m.Log, func(r rune) bool { return r == '\n' }))
	names("issuers", m.Issuers)
	names("key_log", strings.FieldsFunc(m.KeyLog, func(r rune) bool { return r == '\n' }))
	names("relays", m.Relays)
	return l
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

func sortedKeys(m map[string]json.RawMessage) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	return keys
}
