// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/release"
)

// Each row changes one thing and reads what is said of it.
func TestDiffInWords(t *testing.T) {
	short := func(s string) string { return digest(s)[:len("sha256:")+12] + "…" }
	for _, c := range []struct {
		change func(*release.Manifest)
		want   []string
	}{
		{func(m *release.Manifest) {}, nil},
		{func(m *release.Manifest) { m.Product = "other" }, []string{"product||The product changes from sotto to other."}},
		{func(m *release.Manifest) { m.Version = "2.4.0" }, []string{"version||The version changes from 2.3.4 to 2.4.0."}},
		{func(m *release.Manifest) { m.Commit = strings.Repeat("a", 40) }, []string{"commit||The source commit changes from 0123456789ab… to aaaaaaaaaaaa…."}},
		{func(m *release.Manifest) { m.Commit = strings.Repeat("b", 64) }, []string{"commit||The source commit changes from 0123456789ab… to bbbbbbbbbbbb…."}},
		{func(m *release.Manifest) { m.Time++ }, []string{"time||The time of the description changes from 1799999000 to 1799999001."}},
		{func(m *release.Manifest) { m.Index = 7 }, []string{"index||The place in the log changes from 0 to 7."}},
		{func(m *release.Manifest) { m.Toolchain = "go1.27" }, []string{"toolchain||The compiler changes from go1.26.8 to go1.27."}},
		{func(m *release.Manifest) { m.MinimumVersion = "2.3.0" }, []string{"minimum_version||The oldest version that is still good changes from 2.0.0 to 2.3.0."}},
		{func(m *release.Manifest) { m.Revoked = m.Revoked[:1] }, []string{"revoked|sha256:" + strings.Repeat("2", 64) + "|Among the revoked releases sha256:222222222222… is gone."}},
		{func(m *release.Manifest) { m.Revoked = append(m.Revoked, "sha256:"+strings.Repeat("3", 64)) }, []string{"revoked|sha256:" + strings.Repeat("3", 64) + "|Among the revoked releases sha256:333333333333… is new."}},
		{func(m *release.Manifest) { m.Machines.Require = []string{"snp", "tpm"} }, []string{
			"machines.require|nvidia|Among the required hardware nvidia is gone.", "machines.require|tpm|Among the required hardware tpm is new."}},
		{func(m *release.Manifest) { m.Machines.MaxLifetime = 0 }, []string{"machines.max_lifetime||The longest life of a key, in seconds, changes from 900 to 0."}},
		{func(m *release.Manifest) {
			m.Machines.Platforms["snp"] = json.RawMessage(`{"measurements": ["01", "02"]}`)
		}, []string{
			`machines.platforms|snp’s measurements|The rule for snp’s measurements changes from ["00"] to ["01","02"].`,
			`machines.platforms|snp’s min_guest_svn|The rule for snp’s min_guest_svn is gone; it was 3.`}},
		{func(m *release.Manifest) { m.Machines.Platforms["tdx"] = json.RawMessage(`{}`) }, []string{"machines.platforms|tdx|The rule for tdx is new: {}."}},
		{func(m *release.Manifest) {
			m.Machines.Platforms["tdx"] = json.RawMessage(`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1}`)
		}, []string{
			"machines.platforms|tdx’s a|The rule for tdx’s a is new: 1.", "machines.platforms|tdx’s b|The rule for tdx’s b is new: 1.",
			"machines.platforms|tdx’s c|The rule for tdx’s c is new: 1.", "machines.platforms|tdx’s d|The rule for tdx’s d is new: 1.",
			"machines.platforms|tdx’s e|The rule for tdx’s e is new: 1.", "machines.platforms|tdx’s f|The rule for tdx’s f is new: 1.",
			"machines.platforms|tdx’s g|The rule for tdx’s g is new: 1.", "machines.platforms|tdx’s h|The rule for tdx’s h is new: 1."}},
		{func(m *release.Manifest) { m.Engine.Version = "sha256:ab" }, []string{"engine.version||The engine’s version changes from 0.10.0 to sha256:ab."}},
		{func(m *release.Manifest) { m.Machines.Platforms["tdx"] = json.RawMessage(`[]`) }, []string{"machines.platforms|tdx|The rule for tdx is new: []."}},
		{func(m *release.Manifest) { m.Measured = m.Measured[1:] }, []string{
			"measured|snp|What was measured, snp is gone.",
			"measured|snp’s input cmdline|What was measured, snp’s input cmdline is gone; it was console=\"ttyS0\"\ta\\b\n.",
			"measured|snp’s input kernel|What was measured, snp’s input kernel is gone; it was " + short("k") + ".",
			"measured|snp’s measurement|What was measured, snp’s measurement is gone; it was 00."}},
		{func(m *release.Manifest) { m.Node.Binary = digest("b") }, []string{"node.binary||The node’s program changes from " + short("sotto-node 2.3.4") + " to " + short("b") + "."}},
		{func(m *release.Manifest) { m.Node.Images[1].SHA256 = digest("z") }, []string{"node.images|node/kernel|The image node/kernel changes from " + short("k") + " to " + short("z") + "."}},
		{func(m *release.Manifest) { m.Node.Config = nil }, []string{"node.config|etc/engine.json|The node’s file etc/engine.json is gone; it was " + short("c") + "."}},
		{func(m *release.Manifest) { m.Node.Environment = []string{"A=1", "LONG=1 2", "http_proxy="} }, []string{"node.environment|A|The node’s variable A changes from nothing to 1."}},
		{func(m *release.Manifest) { m.Node.Arguments = []string{"-engine http://127.0.0.1:8000"} }, []string{
			`node.arguments||The node’s command line changes from -engine http://127.0.0.1:8000 to "-engine http://127.0.0.1:8000".`}},
		{func(m *release.Manifest) { m.Node.Arguments = []string{"-engine", ""} }, []string{
			`node.arguments||The node’s command line changes from -engine http://127.0.0.1:8000 to -engine "".`}},
		{func(m *release.Manifest) { m.Engine.Name = "sglang" }, []string{"engine.name||The engine changes from vllm to sglang."}},
		{func(m *release.Manifest) { m.Engine.Version = "" }, []string{"engine.version||The engine’s version changes from 0.10.0 to nothing."}},
		{func(m *release.Manifest) { m.Engine.Digest = "none" }, []string{"engine.digest||The engine’s program changes from " + short("vllm") + " to none."}},
		{func(m *release.Manifest) { m.Engine.Environment = nil }, []string{"engine.environment|CUDA|The engine’s variable CUDA is gone; it was 1."}},
		{func(m *release.Manifest) { m.Engine.Arguments = []string{strings.Repeat("x", 200)} }, []string{
			"engine.arguments||The engine’s command line changes from --model /models/m to " + strings.Repeat("x", 200) + "."}},
		{func(m *release.Manifest) { m.Engine.Arguments = []string{strings.Repeat("x", 201)} }, []string{
			"engine.arguments||The engine’s command line changes from --model /models/m to " + strings.Repeat("x", 200) + "…."}},
		{func(m *release.Manifest) { m.Models[0].Weights = digest("w2") }, []string{"models|sotto-demo’s weights|The model sotto-demo’s weights changes from " + short("weights") + " to " + short("w2") + "."}},
		{func(m *release.Manifest) { m.Models = m.Models[:1] }, []string{
			"models|zeta/7b:q4’s weights|The model zeta/7b:q4’s weights is gone; it was none.",
			"models|zeta/7b:q4’s tokenizer|The model zeta/7b:q4’s tokenizer is gone; it was " + short("t") + ".",
			"models|zeta/7b:q4’s template|The model zeta/7b:q4’s template is gone; it was " + short("x") + "."}},
		{func(m *release.Manifest) {
			m.Web.Files = append(m.Web.Files, release.File{Path: "z.js", SHA256: digest("z")})
		}, []string{"web.files|z.js|The page’s file z.js is new: " + short("z") + "."}},
		{func(m *release.Manifest) { m.Web.Core = digest("page 2.3.4") }, []string{"web.core||The page’s core changes from " + short("core") + " to " + short("page 2.3.4") + "."}},
		{func(m *release.Manifest) { m.Log = strings.Replace(m.Log, "group two 2", "group two 3", 1) }, []string{
			"log|group two 2 w1 w2 w3|In the policy of the log the line group two 2 w1 w2 w3 is gone.", "log|group two 3 w1 w2 w3|In the policy of the log the line group two 3 w1 w2 w3 is new."}},
		{func(m *release.Manifest) { m.Log += "\n" }, nil},
		{func(m *release.Manifest) { m.Log = "" }, func() (all []string) {
			for _, line := range strings.Split(strings.TrimSpace(full().Log), "\n") {
				name := line
				if len(line) > 200 {
					name = line[:200] + "…"
				}
				all = append(all, "log|"+line+"|In the policy of the log the line "+name+" is gone.")
			}
			return all
		}()},
		{func(m *release.Manifest) { m.Node.Environment = m.Node.Environment[1:] }, []string{"node.environment|A|The node’s variable A is gone."}},
		{func(m *release.Manifest) { m.Node.Environment = append(m.Node.Environment, "z=") }, []string{"node.environment|z|The node’s variable z is new."}},
		{func(m *release.Manifest) { m.Relays = []string{"https://relay.example/"} }, []string{"relays|https://relay.example/|Among the relays https://relay.example/ is new."}},
		{func(m *release.Manifest) { m.Issuers = []string{"issuer-2"} }, []string{"issuers|issuer-1|Among the issuers’ keys issuer-1 is gone."}},
	} {
		m := full()
		c.change(&m)
		var got []string
		for _, d := range release.Diff(full(), m) {
			got = append(got, d.Part+"|"+d.Name+"|"+d.Text)
			if d.Old == d.New {
				t.Errorf("%s: old and new are both %q", d.Text, d.Old)
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// Whatever field of a manifest changes, Diff says so.
func TestDiffPassesNothingOver(t *testing.T) {
	var walk func(v reflect.Value, path string, m *release.Manifest)
	walk = func(v reflect.Value, path string, m *release.Manifest) {
		check := func() {
			if d := release.Diff(full(), *m); len(d) == 0 {
				t.Errorf("a change of %s isn't seen", path)
			}
			if d := release.Diff(*m, full()); len(d) == 0 {
				t.Errorf("a change back of %s isn't seen", path)
			}
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name, m)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), path+"[]", m)
			}
			if v.Len() > 0 {
				old := reflect.ValueOf(v.Interface())
				v.Set(v.Slice(0, v.Len()-1))
				check()
				v.Set(old)
			}
		case reflect.String:
			old := v.String()
			v.SetString(old + "x")
			check()
			v.SetString(old)
		case reflect.Int64:
			v.SetInt(v.Int() + 1)
			check()
			v.SetInt(v.Int() - 1)
		case reflect.Map: // the rules have a test of their own
		default:
			t.Errorf("%s is a %s, which this test doesn't know", path, v.Kind())
		}
	}
	m := full()
	m.Format = release.Format
	v := reflect.ValueOf(&m).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Format" {
			walk(v.Field(i), "."+name, &m)
		}
	}
}
