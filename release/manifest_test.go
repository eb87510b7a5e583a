// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
)

func digest(s string) string { return release.Digest([]byte(s)) }

// full is a manifest with something in every field.
func full() release.Manifest {
	m := releasetest.New("full").Manifest("2.3.4")
	m.MinimumVersion = "2.0.0"
	m.Revoked = []string{"sha256:" + strings.Repeat("1", 64), "sha256:" + strings.Repeat("2", 64)}
	m.Machines = release.Machines{
		Require: []string{"nvidia", "snp"}, MaxLifetime: 900,
		Platforms: map[string]json.RawMessage{
			"snp":    json.RawMessage(`{"measurements":["00"],"min_guest_svn":3}`),
			"nvidia": json.RawMessage(`{"a":{"b":[1,2,{"c":true}]},"z":"<&>"}`),
		},
	}
	m.Measured = []release.Measured{
		{Platform: "snp", Inputs: []release.Value{{Name: "cmdline", Value: "console=\"ttyS0\"\ta\\b\n"}, {Name: "kernel", Value: digest("k")}}, Values: []release.Value{{Name: "measurement", Value: "00"}}},
		{Platform: "tdx"},
	}
	m.Node.Images = []release.File{{Path: "node.img", SHA256: digest("i")}, {Path: "node/kernel", SHA256: digest("k")}}
	m.Node.Config = []release.File{{Path: "etc/engine.json", SHA256: digest("c")}}
	m.Node.Environment = []string{"A=", "LONG=1 2", "http_proxy="}
	m.Engine.Environment = []string{"CUDA=1"}
	m.Models = append(m.Models, release.Model{ID: "zeta/7b:q4", Weights: "none", Tokenizer: digest("t"), Template: digest("x")})
	m.Log = releasetest.New("full").Pin.Log
	m.Issuers = []string{"issuer-1", "issuer-2"}
	return m
}

func encode(t *testing.T, m release.Manifest) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestManifestGoesThereAndBack(t *testing.T) {
	for name, m := range map[string]release.Manifest{"full": full(), "small": releasetest.New("x").Manifest("0.0.1")} {
		text := encode(t, m)
		again, err := release.ParseManifest(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(encode(t, again), text) {
			t.Errorf("%s: another encoding the second time", name)
		}
		if bytes.Contains(text, []byte("null")) || bytes.Contains(text, []byte("\n\n")) || !bytes.HasSuffix(text, []byte("}\n")) {
			t.Errorf("%s: not as a signed note wants it:\n%s", name, text)
		}
	}
	if again, _ := release.ParseManifest(encode(t, full())); !reflect.DeepEqual(again.Node, full().Node) || again.Measured[0].Inputs[0] != full().Measured[0].Inputs[0] {
		t.Errorf("read back otherwise: %+v", again)
	}
}

func many(n int, item func(i int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = item(i)
	}
	return out
}

func numbered(n int) []string { return many(n, func(i int) string { return fmt.Sprintf("i%04d", i) }) }

// Every field has its limits. Each row breaks one, and stands beside one that is
// just inside where there is such a thing.
func TestManifestFields(t *testing.T) {
	type row struct {
		name   string
		change func(*release.Manifest)
		want   string // "" for none
	}
	file := func(p string) release.File { return release.File{Path: p, SHA256: digest("core")} }
	long := strings.Repeat("x", 8193)
	rows := []row{
		{"format", func(m *release.Manifest) { m.Format = "sotto-release/v2" }, "format is not"},
		{"product", func(m *release.Manifest) { m.Product = "" }, "product"},
		{"product with a quote", func(m *release.Manifest) { m.Product = `a"b` }, "product"},
		{"product with a backslash", func(m *release.Manifest) { m.Product = `a\b` }, "product"},
		{"product with a control character", func(m *release.Manifest) { m.Product = "a\nb" }, "product"},
		{"product with an umlaut", func(m *release.Manifest) { m.Product = "ä" }, "product"},
		{"product with tilde and space", func(m *release.Manifest) { m.Product = " ~" }, ""},
		{"product of 256", func(m *release.Manifest) { m.Product = long[:256] }, ""},
		{"product of 257", func(m *release.Manifest) { m.Product = long[:257] }, "product"},
		{"version", func(m *release.Manifest) { m.Version = "2.3" }, "version is not three"},
		{"commit", func(m *release.Manifest) { m.Commit = strings.Repeat("A", 40) }, "commit"},
		{"commit too short", func(m *release.Manifest) { m.Commit = strings.Repeat("a", 39) }, "commit"},
		{"commit with a slash", func(m *release.Manifest) { m.Commit = strings.Repeat("/", 40) }, "commit"},
		{"commit with a colon", func(m *release.Manifest) { m.Commit = strings.Repeat(":", 40) }, "commit"},
		{"commit with a backtick", func(m *release.Manifest) { m.Commit = strings.Repeat("`", 40) }, "commit"},
		{"commit with a g", func(m *release.Manifest) { m.Commit = strings.Repeat("g", 40) }, "commit"},
		{"commit of ends", func(m *release.Manifest) { m.Commit = strings.Repeat("09af", 10) }, ""},
		{"commit empty", func(m *release.Manifest) { m.Commit = "" }, "commit"},
		{"commit of SHA-256", func(m *release.Manifest) { m.Commit = strings.Repeat("f", 64) }, ""},
		{"commit missing", func(m *release.Manifest) { m.Commit = "none" }, ""},
		{"time zero", func(m *release.Manifest) { m.Time = 0 }, "time"},
		{"time one", func(m *release.Manifest) { m.Time = 1 }, ""},
		{"time late", func(m *release.Manifest) { m.Time = 1 << 40 }, ""},
		{"time too late", func(m *release.Manifest) { m.Time = 1<<40 + 1 }, "time"},
		{"index negative", func(m *release.Manifest) { m.Index = -1 }, "index"},
		{"index large", func(m *release.Manifest) { m.Index = 1 << 40 }, ""},
		{"index too large", func(m *release.Manifest) { m.Index = 1<<40 + 1 }, "index"},
		{"toolchain", func(m *release.Manifest) { m.Toolchain = "" }, "toolchain"},
		{"minimum version", func(m *release.Manifest) { m.MinimumVersion = "" }, "minimum_version is not three"},
		{"minimum version above", func(m *release.Manifest) { m.MinimumVersion = "2.3.5" }, "revoke itself"},
		{"minimum version the same", func(m *release.Manifest) { m.MinimumVersion = "2.3.4" }, ""},
		{"revoked unsorted", func(m *release.Manifest) { slices.Reverse(m.Revoked) }, "revoked"},
		{"revoked twice", func(m *release.Manifest) { m.Revoked[1] = m.Revoked[0] }, "revoked"},
		{"revoked no digest", func(m *release.Manifest) { m.Revoked = []string{"none"} }, "revoked"},
		{"revoked capital", func(m *release.Manifest) { m.Revoked = []string{"sha256:" + strings.Repeat("A", 64)} }, "revoked"},
		{"revoked short", func(m *release.Manifest) { m.Revoked = []string{"sha256:" + strings.Repeat("1", 63)} }, "revoked"},
		{"revoked 256", func(m *release.Manifest) {
			m.Revoked = many(256, func(i int) string { return fmt.Sprintf("sha256:%064x", i) })
		}, ""},
		{"revoked 257", func(m *release.Manifest) {
			m.Revoked = many(257, func(i int) string { return fmt.Sprintf("sha256:%064x", i) })
		}, "revoked"},
		{"require unsorted", func(m *release.Manifest) { slices.Reverse(m.Machines.Require) }, "machines.require"},
		{"require of anything", func(m *release.Manifest) { m.Machines.Require = []string{""} }, "machines.require"},
		{"lifetime negative", func(m *release.Manifest) { m.Machines.MaxLifetime = -1 }, "max_lifetime"},
		{"lifetime long", func(m *release.Manifest) { m.Machines.MaxLifetime = 1 << 30 }, ""},
		{"lifetime too long", func(m *release.Manifest) { m.Machines.MaxLifetime = 1<<30 + 1 }, "max_lifetime"},
		{"rules of nobody", func(m *release.Manifest) { m.Machines.Platforms[""] = json.RawMessage(`{}`) }, "machines.platforms"},
		{"rules that are a list", func(m *release.Manifest) { m.Machines.Platforms["snp"] = json.RawMessage(`[]`) }, "machines.platforms"},
		{"rules that are empty", func(m *release.Manifest) { m.Machines.Platforms["snp"] = nil }, "machines.platforms"},
		{"measured unsorted", func(m *release.Manifest) { slices.Reverse(m.Measured) }, "measured"},
		{"inputs unsorted", func(m *release.Manifest) { slices.Reverse(m.Measured[0].Inputs) }, "measured: what there is of snp"},
		{"values unnamed", func(m *release.Manifest) { m.Measured[1].Values = []release.Value{{}} }, "measured: what there is of tdx"},
		{"input of 8192", func(m *release.Manifest) { m.Measured[0].Inputs[0].Value = long[:8192] }, ""},
		{"input of 8193", func(m *release.Manifest) { m.Measured[0].Inputs[0].Value = long }, "measured"},
		{"binary", func(m *release.Manifest) { m.Node.Binary = "none" }, "node.binary"},
		{"images unsorted", func(m *release.Manifest) { slices.Reverse(m.Node.Images) }, "node.images"},
		{"image without digest", func(m *release.Manifest) { m.Node.Images[0].SHA256 = "" }, "node.images"},
		{"image from the root", func(m *release.Manifest) { m.Node.Images = []release.File{file("/a")} }, "node.images"},
		{"image elsewhere", func(m *release.Manifest) { m.Node.Images = []release.File{file("a/../b")} }, "node.images"},
		{"image here", func(m *release.Manifest) { m.Node.Images = []release.File{file("./b")} }, "node.images"},
		{"config without a name", func(m *release.Manifest) { m.Node.Config = []release.File{file("a//b")} }, "node.config"},
		{"config unsorted", func(m *release.Manifest) { m.Node.Config = []release.File{file("b"), file("a")} }, "node.config"},
		{"environment unsorted", func(m *release.Manifest) { slices.Reverse(m.Node.Environment) }, "node.environment"},
		{"environment twice", func(m *release.Manifest) { m.Node.Environment = []string{"A=1", "A=2"} }, "node.environment"},
		{"environment without value", func(m *release.Manifest) { m.Node.Environment = []string{"A"} }, "node.environment"},
		{"environment of 8192", func(m *release.Manifest) { m.Node.Environment = []string{"A=" + long[:8190]} }, ""},
		{"environment of 8193", func(m *release.Manifest) { m.Node.Environment = []string{"A=" + long[:8191]} }, "node.environment"},
		{"arguments 256", func(m *release.Manifest) { m.Node.Arguments = numbered(256) }, ""},
		{"arguments 257", func(m *release.Manifest) { m.Node.Arguments = numbered(257) }, "node.arguments"},
		{"argument of 8192", func(m *release.Manifest) { m.Node.Arguments = []string{long[:8192]} }, ""},
		{"argument of 8193", func(m *release.Manifest) { m.Node.Arguments = []string{long} }, "node.arguments"},
		{"engine", func(m *release.Manifest) { m.Engine.Name = "" }, "engine.name"},
		{"engine version", func(m *release.Manifest) { m.Engine.Version = "a\tb" }, "engine.version"},
		{"engine without version", func(m *release.Manifest) { m.Engine.Version = "" }, ""},
		{"engine digest", func(m *release.Manifest) { m.Engine.Digest = "" }, "engine.digest"},
		{"engine within the node", func(m *release.Manifest) { m.Engine.Digest = "none" }, ""},
		{"engine environment", func(m *release.Manifest) { m.Engine.Environment = []string{"=1"} }, "engine.environment"},
		{"engine arguments", func(m *release.Manifest) { m.Engine.Arguments = []string{long} }, "engine.arguments"},
		{"models unsorted", func(m *release.Manifest) { slices.Reverse(m.Models) }, "models is not"},
		{"weights", func(m *release.Manifest) { m.Models[0].Weights = "" }, "models: what is said of sotto-demo"},
		{"tokenizer", func(m *release.Manifest) { m.Models[0].Tokenizer = "sha256:" }, "models: what is said of sotto-demo"},
		{"template", func(m *release.Manifest) { m.Models[0].Template = strings.Repeat("1", 64) }, "models: what is said of sotto-demo"},
		{"files unsorted", func(m *release.Manifest) { slices.Reverse(m.Web.Files) }, "web.files"},
		{"files 256", func(m *release.Manifest) { m.Web.Files = manyFiles(256) }, ""},
		{"files 257", func(m *release.Manifest) { m.Web.Files = manyFiles(257) }, "web.files"},
		{"core", func(m *release.Manifest) { m.Web.Core = digest("other") }, "web.core"},
		{"core none beside files", func(m *release.Manifest) { m.Web.Core = "none" }, "web.core"},
		{"core without files", func(m *release.Manifest) { m.Web.Files = nil }, "web.core"},
		{"no page", func(m *release.Manifest) { m.Web = release.Web{Core: "none"} }, ""},
		{"log", func(m *release.Manifest) { m.Log = "log\n" }, "log does not name"},
		{"log of 8193", func(m *release.Manifest) { m.Log = "# " + long[:8193-2-len(m.Log)-1] + "\n" + m.Log }, "log does not name"},
		{"log of 8192", func(m *release.Manifest) { m.Log = "# " + long[:8192-2-len(m.Log)-1] + "\n" + m.Log }, ""},
		{"no log", func(m *release.Manifest) { m.Log = "" }, ""},
		{"issuers unsorted", func(m *release.Manifest) { slices.Reverse(m.Issuers) }, "issuers"},
		{"key log of no policy", func(m *release.Manifest) { m.KeyLog = "log" }, "key_log"},
		{"key log too long", func(m *release.Manifest) { m.KeyLog = m.Log + strings.Repeat("#\n", 5000) }, "key_log"},
		{"key log without keys", func(m *release.Manifest) { m.KeyLog, m.Issuers = m.Log, nil }, "issuers names no key"},
		{"key log with other names", func(m *release.Manifest) { m.KeyLog = m.Log }, "issuers names no key"},
		{"relays unsorted", func(m *release.Manifest) { m.Relays = []string{"https://b.example/", "https://a.example/"} }, "relays"},
		{"relay of no scheme", func(m *release.Manifest) { m.Relays = []string{"a.example"} }, "relays"},
		{"relay without a host", func(m *release.Manifest) { m.Relays = []string{"https:///x"} }, "relays"},
		{"relay of nothing", func(m *release.Manifest) { m.Relays = []string{"http://"} }, "relays"},
		{"relay with a query", func(m *release.Manifest) { m.Relays = []string{"https://a.example/?id=1"} }, "relays"},
		{"too long", func(m *release.Manifest) {
			m.Node.Arguments = many(9, func(int) string { return long[:8192] })
		}, "longer than 65535 bytes"},
	}
	for _, r := range rows {
		m := full()
		r.change(&m)
		text, err := m.Encode()
		if r.want == "" && err != nil || r.want != "" && (err == nil || !strings.Contains(err.Error(), r.want)) {
			t.Errorf("%s: %v, want %q", r.name, err, r.want)
		}
		if err == nil && len(text) == 0 {
			t.Errorf("%s: nothing was encoded", r.name)
		}
	}
}

func manyFiles(n int) (out []release.File) {
	for _, name := range numbered(n) {
		out = append(out, release.File{Path: name, SHA256: digest("core")})
	}
	return out
}

// The same rows are refused by whoever reads, not only by whoever writes: as a
// writer of another kind could have written them.
func TestManifestForms(t *testing.T) {
	good := string(encode(t, full()))
	for name, c := range map[string]struct{ old, new, want string }{
		"as it is":             {"", "", ""},
		"another version":      {`"version": "2.3.4"`, `"version": "2.3"`, "version is not three"},
		"without space":        {`"format": `, `"format":`, "canonical form"},
		"a space more":         {"}\n", "} \n", "canonical form"},
		"without line end":     {"}\n", "}", "canonical form"},
		"bytes after it":       {"}\n", "}\n{}", "expected JSON"},
		"unknown field":        {`  "product"`, "  \"extra\": 1,\n  \"product\"", "expected JSON"},
		"field twice":          {`  "product"`, "  \"product\": \"sotto\",\n  \"product\"", "expected JSON"},
		"field in capitals":    {`"product"`, `"Product"`, "canonical form"},
		"null":                 {`"revoked": [`, `"revoked": null, "x": [`, "expected JSON"},
		"field missing":        {"  \"product\": \"sotto\",\n", "", "canonical form"},
		"escape":               {`"product": "sotto"`, `"product": "s\u006ftto"`, "an escape that a manifest can't hold"},
		"slash escaped":        {`node/kernel`, `node\/kernel`, "an escape"},
		"control character":    {`"cmdline"`, "\"cmd\tline\"", "holds a character"},
		"umlaut":               {`"product": "sotto"`, `"product": "sötto"`, "holds a character"},
		"delete":               {`"product": "sotto"`, "\"product\": \"s\x7ftto\"", "holds a character"},
		"escape of a return":   {`\ta`, `\ra`, "an escape"},
		"backslash at the end": {good, "{\\", "an escape"},
		"number with fraction": {`"max_lifetime": 900`, `"max_lifetime": 900.0`, "expected JSON"},
		"rule with fraction":   {`"min_guest_svn": 3`, `"min_guest_svn": 3.0`, "rules are not in canonical form"},
		"rule with exponent":   {`"min_guest_svn": 3`, `"min_guest_svn": 3e0`, "rules are not in canonical form"},
		"rule too large":       {`"min_guest_svn": 3`, `"min_guest_svn": 9223372036854775808`, "rules are not in canonical form"},
		"minus zero":           {`"min_guest_svn": 3`, `"min_guest_svn": -0`, "rules are not in canonical form"},
		"number in a list":     {`            1,`, `            1.0,`, "rules are not in canonical form"},
		"rules unsorted":       {`"z": "<&>"`, `"0": "<&>"`, "rules are not in canonical form"},
		"rule twice":           {`"z": "<&>"`, `"a": "<&>"`, "expected JSON"},
		"empty":                {good, "", "expected JSON"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if c.old != "" && text == good {
			t.Errorf("%s changes nothing", name)
		}
		_, err := release.ParseManifest([]byte(text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Nobody's bytes take long to read.
func TestManifestQuotes(t *testing.T) {
	for n, want := range map[int]bool{8192: true, 8194: false} {
		m := releasetest.New("quotes").Manifest("1.0.0")
		m.Machines.Platforms = map[string]json.RawMessage{"snp": json.RawMessage(`{"x":[]}`)}
		left := n - bytes.Count(encode(t, m), []byte{'"'})
		m.Machines.Platforms["snp"] = json.RawMessage(`{"x":["` + strings.Repeat(`","`, left/2-1) + `"]}`)
		if _, err := m.Encode(); (err == nil) != want || err != nil && !strings.Contains(err.Error(), "quotation marks") {
			t.Errorf("%d quotation marks: %v", n, err)
		}
	}
}

func TestVersions(t *testing.T) {
	ordered := []string{"0.0.0", "0.0.1", "0.0.10", "0.1.0", "0.10.0", "1.0.0", "1.0.2", "10.0.0", "999999999.999999999.999999999"}
	for i, a := range ordered {
		m := releasetest.New("v").Manifest(a)
		if _, err := m.Encode(); err != nil {
			t.Errorf("%s: %v", a, err)
		}
		for j, b := range ordered {
			if got := release.Older(a, b); got != (i < j) {
				t.Errorf("%s older than %s: %v", a, b, got)
			}
		}
	}
	for _, s := range []string{"", "1", "1.2", "1.2.3.4", "1.2.", ".1.2", "1..2", "01.2.3", "1.2.03", "00.0.0", "v1.2.3", "1.2.3-rc", "1.2.x", "1.2.3 ", "-1.2.3", "1.2.1000000000", "1.2./", "1.2.:"} {
		if _, err := releasetest.New("v").Manifest(s).Encode(); err == nil {
			t.Errorf("%q counts as a version", s)
		}
	}
}

func TestLeavesOpen(t *testing.T) {
	m := full()
	m.Models[1].Weights = digest("w")
	if open := m.LeavesOpen(); len(open) != 0 {
		t.Errorf("leaves open: %q", open)
	}
	for want, change := range map[string]func(*release.Manifest){
		"no source commit":      func(m *release.Manifest) { m.Commit = "none" },
		"requires no kind":      func(m *release.Manifest) { m.Machines.Require = nil },
		"no rules for snp":      func(m *release.Manifest) { delete(m.Machines.Platforms, "snp") },
		"which weights sotto-d": func(m *release.Manifest) { m.Models[0].Weights = "none" },
		"no file of the page":   func(m *release.Manifest) { m.Web = release.Web{Core: "none"} },
	} {
		m := full()
		m.Models[1].Weights = digest("w")
		change(&m)
		if open := m.LeavesOpen(); len(open) != 1 || !strings.Contains(open[0], want) {
			t.Errorf("%s: %q", want, open)
		}
	}
}

func TestMachinesArePolicy(t *testing.T) {
	m := full().Machines
	p := m.Policy()
	if !slices.Equal(p.Require, m.Require) || p.MaxLifetime != 900 || len(p.Platforms) != 2 || p.AllowSoftware || len(p.Releases) != 0 || p.Pin != nil {
		t.Errorf("the policy is %+v", p)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(encode(t, full()), &doc); err != nil {
		t.Fatal(err)
	}
	// What a release may not say.
	for _, field := range []string{"allow_software", "releases", "pin"} {
		text := strings.Replace(string(encode(t, full())), `  "machines": {`, "  \"machines\": {\n    \""+field+"\": 1,", 1)
		if _, err := release.ParseManifest([]byte(text)); err == nil {
			t.Errorf("a manifest may say %s", field)
		}
	}
}

func FuzzParse(f *testing.F) {
	w := releasetest.New("fuzz")
	f.Add(w.Sign(w.Manifest("1.0.0"), 2))
	f.Add(w.Sign(full(), 1))
	f.Add([]byte("{}\n\n— a AAAAAAAA\n"))
	seeds, err := filepath.Glob(filepath.Join("..", "spec", "vectors", "release", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range seeds {
		if b, err := os.ReadFile(s); err == nil && len(b) < 1<<16 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, signed []byte) {
		r, err := release.Parse(signed)
		if err != nil {
			return
		}
		text, err := r.Manifest.Encode()
		if err != nil || !bytes.Equal(text, r.Text) {
			t.Fatalf("what was read isn't written alike: %v", err)
		}
		if release.Diff(r.Manifest, r.Manifest) != nil {
			t.Fatal("it differs from itself")
		}
	})
}

func FuzzParsePin(f *testing.F) {
	f.Add(releasetest.New("fuzz").PinJSON())
	f.Add([]byte(`{"v":1,"product":"p","log":"","keys":[],"threshold":1}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := release.ParsePin(doc)
		if err != nil {
			return
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := release.ParsePin(b); err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("%+v isn't read again: %v", p, err)
		}
	})
}
