// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package measure_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/release/measure"
	"github.com/sotto-chat/sotto/release/measure/ovmf/ovmftest"
	"github.com/sotto-chat/sotto/release/measure/pe/petest"
)

// files are what descriptions speak of. The map is the caller's, its bytes aren't.
func files() map[string][]byte { return maps.Clone(made()) }

var made = sync.OnceValue(func() map[string][]byte {
	kernel := petest.Program(petest.Options{Sections: []petest.Section{{Name: ".text", Data: []byte("kernel")}}})
	return map[string][]byte{
		"OVMF.fd": ovmftest.Image(ovmftest.Both()), "vmlinuz": kernel, "initrd.img": []byte("initrd"),
		"table-loader": []byte("loader"), "rsdp": []byte("rsdp"), "tables": []byte("tables"),
		"node.efi": petest.Unified(petest.Section{Name: ".linux", Data: kernel}, petest.Section{Name: ".osrel", Data: []byte("ID=node")},
			petest.Section{Name: ".cmdline", Data: []byte("console=ttyS0 roothash=1234")}, petest.Section{Name: ".initrd", Data: []byte("disk")}),
		"no stub.efi":     petest.Program(petest.Options{Sections: []petest.Section{{Name: ".linux", Data: kernel}, {Name: ".cmdline", Data: []byte("a")}}}),
		"no kernel.efi":   petest.Unified(petest.Section{Name: ".linux", Data: []byte("x")}, petest.Section{Name: ".cmdline", Data: []byte("a")}),
		"no cmdline.efi":  petest.Unified(petest.Section{Name: ".linux", Data: kernel}),
		"two kernels.efi": petest.Unified(petest.Section{Name: ".linux", Data: kernel}, petest.Section{Name: ".linux", Data: kernel}, petest.Section{Name: ".cmdline", Data: []byte("a")}),
		"db.esl":          []byte("keys"), "firmware without metadata": make([]byte, 4096), "large": make([]byte, 16<<20+1), "largest": make([]byte, 16<<20),
	}
})

const example = `{
 "snp": [
  {"firmware": {"name": "OVMF.fd"}, "kernel": {"name": "vmlinuz"}, "initrd": {"name": "initrd.img"}, "cmdline": "console=ttyS0 roothash=1234", "vcpus": 4, "cpu": "EPYC-Milan"}
 ],
 "tdx": [
  {"firmware": {"name": "OVMF.fd"}, "memory": 8589934592, "secure_boot": "off",
   "acpi": {"loader": {"name": "table-loader"}, "rsdp": {"name": "rsdp"}, "tables": {"name": "tables"}},
   "kernel": {"name": "vmlinuz"}, "initrd": {"name": "initrd.img"}, "cmdline": "console=ttyS0 roothash=1234"}
 ],
 "tpm": [
  {"banks": ["sha256", "sha384"], "image": {"name": "node.efi"}, "inner": true}
 ]
}`

func open(in measure.Inputs, fs map[string][]byte) {
	for _, f := range in.Files() {
		if b, ok := fs[f.Name]; ok {
			f.Open(bytes.NewReader(b), int64(len(b)))
		}
	}
}

// compute computes a description, after a change to its JSON.
func compute(t testing.TB, config string, fs map[string][]byte) (measure.Measurements, error) {
	t.Helper()
	in, err := measure.Parse([]byte(config))
	if err != nil {
		return measure.Measurements{}, err
	}
	open(in, fs)
	return measure.Compute(in)
}

func must(t testing.TB, config string, fs map[string][]byte) measure.Measurements {
	t.Helper()
	m, err := compute(t, config, fs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func values(m measure.Measurements, platform string) map[string]string {
	out := map[string]string{}
	for _, f := range m.From {
		if f.Platform == platform {
			for _, v := range f.Values {
				out[v.Name] = v.Value
			}
		}
	}
	return out
}

// TestExample: fixed values, so that a change of what comes out is seen.
func TestExample(t *testing.T) {
	m := must(t, example, files())
	golden := map[string]map[string]string{}
	if err := json.Unmarshal([]byte(goldenValues), &golden); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"snp", "tdx", "tpm"} {
		if got := values(m, p); !maps.Equal(got, golden[p]) {
			b, _ := json.MarshalIndent(got, "", "\t")
			t.Errorf("%s: %s", p, b)
		}
	}
}

const secureBootKeys = `[{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"SecureBoot","data":"01"},
	{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK"},{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"KEK"},
	{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","contents":{"name":"db.esl"}},{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"}]`

// TestInputs: what went in is written down, all of it.
func TestInputs(t *testing.T) {
	digest := func(name string) string {
		sum := sha256.Sum256(files()[name])
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	keys := `"variables": ` + secureBootKeys
	acpi := `"acpi": {"loader": {"name": "table-loader"}, "rsdp": {"name": "rsdp"}, "tables": {"name": "tables"}}`
	variables := map[string]string{"variable 001": "SecureBoot 01", "variable 002": "PK", "variable 003": "KEK", "variable 004": "db " + digest("db.esl"), "variable 005": "dbx"}
	with := func(a, b map[string]string) map[string]string { c := maps.Clone(a); maps.Copy(c, b); return c }
	for name, v := range map[string]struct {
		config string
		want   map[string]string
	}{
		"AMD": {`{"snp":[{"firmware":{"name":"OVMF.fd"},"kernel":{"name":"vmlinuz"},"initrd":{"name":"initrd.img"},"cmdline":"a","vcpus":4,"cpu":"EPYC","features":33}]}`,
			map[string]string{"firmware": digest("OVMF.fd"), "kernel": digest("vmlinuz"), "initrd": digest("initrd.img"), "cmdline": "a", "vcpus": "4", "cpu": "EPYC", "features": "0x21", "host": "qemu"}},
		"Intel": {`{"tdx":[{"firmware":{"name":"OVMF.fd"},"memory":1073741824,"low_memory":1073741824,"secure_boot":"off",` + acpi + `,"kernel":{"name":"vmlinuz"},"initrd":{"name":"initrd.img"},"cmdline":"a"}]}`,
			map[string]string{"firmware": digest("OVMF.fd"), "pages": "page", "memory": "1073741824", "low memory": "1073741824", "secure boot": "off", "last separator": "1",
				"acpi loader": digest("table-loader"), "acpi rsdp": digest("rsdp"), "acpi tables": digest("tables"), "kernel": digest("vmlinuz"), "initrd": digest("initrd.img"), "cmdline": "a"}},
		"Intel, unified": {`{"tdx":[{"firmware":{"name":"OVMF.fd"},"memory":1073741824,"secure_boot":"keys",` + keys + `,` + acpi + `,"kernel":{"name":"node.efi"},"inner":false,"last_separator":0}]}`,
			with(variables, map[string]string{"firmware": digest("OVMF.fd"), "pages": "page", "memory": "1073741824", "low memory": "0", "secure boot": "keys", "last separator": "0",
				"acpi loader": digest("table-loader"), "acpi rsdp": digest("rsdp"), "acpi tables": digest("tables"), "kernel": digest("node.efi"), "inner": "false"})},
		"TPM": {`{"tpm":[{"image":{"name":"node.efi"},"inner":true,"calling":false,` + keys + `,"authorities":[{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","data":"00"}]}]}`,
			with(variables, map[string]string{"image": digest("node.efi"), "inner": "true", "calling": "false", "variable 006": "db 00"})},
		"Intel, events": {`{"tdx":[{"firmware":{"name":"OVMF.fd"},"memory":1073741824,"events":[{"register":2,"kind":"separator"},{"register":3,"kind":"contents","file":{"name":"rsdp"}}]}]}`,
			map[string]string{"firmware": digest("OVMF.fd"), "pages": "page", "memory": "1073741824", "low memory": "0",
				"event 001": "register 2, 394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0, separator",
				"event 002": "register 3, " + fmt.Sprintf("%x", sha512.Sum384([]byte("rsdp"))) + ", contents " + digest("rsdp")}},
		"TPM, events": {`{"tpm":[{"events":[{"register":4,"kind":"separator"},{"register":9,"kind":"kernel","file":{"name":"node.efi"}}]}]}`,
			map[string]string{"event 001": "register 4, df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119, separator",
				"event 002": "register 9, " + fmt.Sprintf("%x", sha256.Sum256([]byte("c\x00o\x00n\x00s\x00o\x00l\x00e\x00=\x00t\x00t\x00y\x00S\x000\x00 \x00r\x00o\x00o\x00t\x00h\x00a\x00s\x00h\x00=\x001\x002\x003\x004\x00\x00\x00"))) + ", kernel " + digest("node.efi"),
				"event 003": "register 9, " + fmt.Sprintf("%x", sha256.Sum256([]byte("disk"))) + ", kernel " + digest("node.efi")}},
	} {
		m := must(t, v.config, files())
		got := map[string]string{}
		for _, x := range m.From[0].Inputs {
			n, ok := strings.CutPrefix(x.Name, "shape 1 ")
			if !ok {
				t.Errorf("%s: %q", name, x.Name)
			}
			got[n] = x.Value
		}
		if !maps.Equal(got, v.want) {
			t.Errorf("%s: %q, want %q", name, got, v.want)
		}
	}
}

// TestRules: attest's platforms can read what comes out, and it is what they find.
func TestRules(t *testing.T) {
	m := must(t, example, files())
	rules := m.Rules()
	if got := slices.Sorted(maps.Keys(rules)); !slices.Equal(got, []string{"snp", "tdx", "tpm"}) {
		t.Fatalf("rules of %q", got)
	}
	p := attest.Policy{Platforms: rules}
	for _, platform := range []attest.Platform{snp.Platform{}, tdx.Platform{}, tpm.Platform{}} {
		for _, c := range platform.Verify(nil, attest.Claim{Unbound: true}, p, time.Unix(1e9, 0)).Checks {
			if c.Failure == attest.FailPolicyMalformed {
				t.Errorf("%s: %+v", platform.Name(), c)
			}
		}
	}
	var s snp.Rules
	var x tdx.Rules
	var r tpm.Rules
	for name, v := range map[string]any{"snp": &s, "tdx": &x, "tpm": &r} {
		if err := p.Rules(name, v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.Measurements) != 1 || len(x.MRTD) != 1 || len(x.RTMR0) != 1 || len(x.RTMR1) != 1 || len(x.RTMR2) != 1 || !slices.Equal(x.RTMR3, []string{strings.Repeat("00", 48)}) {
		t.Errorf("%+v, %+v", s, x)
	}
	var pinned []int
	for _, v := range r.PCRs {
		if v.Bank == "sha256" {
			pinned = append(pinned, v.PCR)
		}
	}
	if !slices.Equal(pinned, []int{4, 8, 9, 12, 13}) || len(r.PCRs) != 10 || len(r.Events) != 2 || r.Events[0].PCR != 11 || len(r.Events[0].Begin[0]) != 8 {
		t.Errorf("%+v", r)
	}
	// One form: fields sorted, no numbers but whole ones.
	for name, raw := range rules {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(v); !bytes.Equal(again, raw) {
			t.Errorf("%s: %s", name, raw)
		}
	}
	for _, f := range m.From {
		for _, l := range [][]measure.Value{f.Inputs, f.Values} {
			if !slices.IsSortedFunc(l, func(a, b measure.Value) int { return strings.Compare(a.Name, b.Name) }) || len(l) == 0 {
				t.Errorf("%s: %v", f.Platform, l)
			}
		}
	}
}

// TestEverythingCounts: whatever is described changes what comes out, and what it
// changes.
func TestEverythingCounts(t *testing.T) {
	base := must(t, example, files())
	change := func(old, new string) string {
		if strings.Count(example, old) == 0 {
			t.Fatalf("%q isn't in the example", old)
		}
		return strings.ReplaceAll(example, old, new)
	}
	for name, v := range map[string]struct {
		config string
		file   string // one byte of which changes
		want   string // platforms and values that change
	}{
		"firmware":       {example, "OVMF.fd", "snp measurement, tdx mrtd"},
		"kernel":         {example, "vmlinuz", "snp measurement, tdx rtmr1"},
		"initrd":         {example, "initrd.img", "snp measurement, tdx rtmr2"},
		"loader":         {example, "table-loader", "tdx rtmr0"},
		"rsdp":           {example, "rsdp", "tdx rtmr0"},
		"tables":         {example, "tables", "tdx rtmr0"},
		"cmdline":        {change(`roothash=1234", "vcpus"`, `roothash=1235", "vcpus"`), "", "snp measurement"},
		"cmdline, Intel": {change(`roothash=1234"}`, `roothash=1235"}`), "", "tdx rtmr2"},
		"no initrd":      {change(`"initrd": {"name": "initrd.img"},`, ""), "", "snp measurement, tdx rtmr2"},
		"vcpus":          {change(`"vcpus": 4`, `"vcpus": 5`), "", "snp measurement"},
		"cpu":            {change(`EPYC-Milan`, `EPYC-v4`), "", "snp measurement"},
		"features":       {change(`"vcpus": 4`, `"vcpus": 4, "features": 33`), "", "snp measurement"},
		"host":           {change(`"vcpus": 4`, `"vcpus": 4, "host": "qemu-legacy"`), "", "snp measurement"},
		"pages":          {change(`"memory"`, `"pages": "section", "memory"`), "", "tdx mrtd"},
		"memory":         {change(`8589934592`, `8589938688`), "", "tdx rtmr0"},
		"low memory":     {change(`"memory"`, `"low_memory": 1073741824, "memory"`), "", "tdx rtmr0"},
		"secure boot":    {change(`"off"`, `"none"`), "", "tdx rtmr0"},
		"keys": {change(`"off"`, `"keys", "variables": [{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"SecureBoot","data":"00"},
			{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK"},{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"KEK"},
			{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","contents":{"name":"db.esl"}},{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"}]`), "", "tdx rtmr0"},
		"no keys, but named": {change(`"off"`, `"keys", "variables": [{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"SecureBoot","data":"00"},
			{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK"},{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"KEK"},
			{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db"},{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"}]`), "", ""},
		"last separator": {change(`"memory"`, `"last_separator": 0, "memory"`), "", "tdx rtmr0, tdx rtmr1"},
		"the usual one":  {change(`"memory"`, `"last_separator": 1, "memory"`), "", ""},
		"unified": {change(`"kernel": {"name": "vmlinuz"}, "initrd": {"name": "initrd.img"}, "cmdline": "console=ttyS0 roothash=1234"}`,
			`"kernel": {"name": "node.efi"}, "inner": false}`), "", "tdx rtmr1, tdx rtmr2"},
		"image":   {example, "node.efi", "tpm sha256 pcr04, tpm sha256 pcr09, tpm sha256 pcr11 begins to, tpm sha384 pcr04, tpm sha384 pcr09, tpm sha384 pcr11 begins to"},
		"inner":   {change(`"inner": true`, `"inner": false`), "", "tpm sha256 pcr04, tpm sha384 pcr04"},
		"calling": {change(`"inner": true`, `"inner": true, "calling": false`), "", "tpm sha256 pcr04, tpm sha384 pcr04"},
		"called":  {change(`"inner": true`, `"inner": true, "calling": true`), "", ""},
	} {
		fs := files()
		if v.file != "" {
			b := slices.Clone(fs[v.file])
			at := len(b) / 2 // of firmware: code
			if i := bytes.LastIndex(b, []byte("disk")); i >= 0 {
				at = i
			} else if i := bytes.LastIndex(b, []byte("kernel")); i >= 0 {
				at = i
			}
			b[at] ^= 1
			fs[v.file] = b
		}
		m, err := compute(t, v.config, fs)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var changed []string
		for _, p := range []string{"snp", "tdx", "tpm"} {
			a, b := values(base, p), values(m, p)
			for _, n := range slices.Sorted(maps.Keys(a)) {
				if a[n] != b[n] {
					changed = append(changed, p+" "+strings.TrimPrefix(n, "shape 1 "))
				}
			}
		}
		if got := strings.Join(changed, ", "); got != v.want {
			t.Errorf("%s: changed %q, want %q", name, got, v.want)
		}
	}
}

// TestSecureBootKeys: keys and what they vouched for are register 7 of a TPM.
func TestSecureBootKeys(t *testing.T) {
	keys := `"variables": [{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"SecureBoot","data":"01"},
		{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK"},{"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"KEK"},
		{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","contents":{"name":"db.esl"}},{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"}]`
	vouched := `, "authorities": [{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","data":"6b657973"}]`
	config := func(more string) string { return `{"tpm":[{"image":{"name":"node.efi"},"inner":true` + more + `}]}` }
	seen := map[string]bool{}
	for _, more := range []string{"", "," + keys, "," + keys + vouched} {
		v := values(must(t, config(more), files()), "tpm")["shape 1 sha256 pcr07"]
		if seen[v] || (v == "") != (more == "") {
			t.Errorf("%s: %q", more, v)
		}
		seen[v] = true
	}
	if _, err := compute(t, config(vouched), files()); err == nil || !strings.Contains(err.Error(), "authorities and no variables") {
		t.Error(err)
	}
	for old, new := range map[string]string{
		`"name":"PK"`: `"name":"KEK"`, `"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"`: `"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"dbx"`,
		`,{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"}`: ``,
	} {
		if _, err := compute(t, config(","+strings.Replace(keys, old, new, 1)), files()); err == nil || !strings.Contains(err.Error(), "variables are SecureBoot, PK") {
			t.Errorf("%s: %v", old, err)
		}
	}
}

// TestEvents: the usual list, written out, gives the same.
func TestEvents(t *testing.T) {
	base := must(t, example, files())
	acpi := func(name string) string { return `{"register":0,"kind":"contents","file":{"name":"` + name + `"}},` }
	listed := `{"tdx":[{"firmware":{"name":"OVMF.fd"},"memory":8589934592,"events":[
		{"register":0,"kind":"memory"},{"register":0,"kind":"configuration"},
		{"register":0,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"SecureBoot","data":"00"},
		{"register":0,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK"},
		{"register":0,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"KEK"},
		{"register":0,"kind":"variable","guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db"},
		{"register":0,"kind":"variable","guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"},
		{"register":0,"kind":"separator"},` + acpi("table-loader") + acpi("rsdp") + acpi("tables") + `
		{"register":0,"kind":"bytes","data":"0000"},
		{"register":0,"kind":"digest","sha384":"23ada07f5261f12f34a0bd8e46760962d6b4d576a416f1fea1c64bc656b1d28eacf7047ae6e967c58fd2a98bfa74c298"},
		{"register":1,"kind":"image","file":{"name":"vmlinuz"}},
		{"register":1,"kind":"action","text":"Calling EFI Application from Boot Option"},
		{"register":1,"kind":"separator"},
		{"register":1,"kind":"action","text":"Exit Boot Services Invocation"},
		{"register":1,"kind":"action","text":"Exit Boot Services Returned with Success"},
		{"register":2,"kind":"options","text":"console=ttyS0 roothash=1234 initrd=initrd"},
		{"register":2,"kind":"contents","file":{"name":"initrd.img"}}]}]}`
	if got, want := values(must(t, listed, files()), "tdx"), values(base, "tdx"); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// RTMR 3 is what is listed.
	m := must(t, strings.Replace(listed, `{"register":2,"kind":"options"`, `{"register":3,"kind":"text","text":"x"},{"register":2,"kind":"options"`, 1), files())
	if v := values(m, "tdx")["shape 1 rtmr3"]; v == strings.Repeat("00", 48) || v == "" {
		t.Errorf("RTMR 3: %q", v)
	}
	// Without an initial RAM disk, and with a unified kernel image.
	none := strings.Replace(strings.Replace(listed, " initrd=initrd", "", 1), `,
		{"register":2,"kind":"contents","file":{"name":"initrd.img"}}`, "", 1)
	unified := strings.Replace(strings.Replace(strings.Replace(none, `{"register":2,"kind":"options","text":"console=ttyS0 roothash=1234"}`,
		`{"register":2,"kind":"unified","file":{"name":"node.efi"}},{"register":2,"kind":"kernel","file":{"name":"node.efi"}}`, 1),
		`"image","file":{"name":"vmlinuz"}`, `"image","file":{"name":"node.efi"}`, 1),
		`{"register":1,"kind":"action","text":"Exit Boot Services Invocation"}`, `{"register":1,"kind":"inner","file":{"name":"node.efi"}},{"register":1,"kind":"action","text":"Exit Boot Services Invocation"}`, 1)
	for usual, listed := range map[string]string{
		strings.Replace(example, `"secure_boot": "off",`, `"secure_boot": "off", "last_separator": 1,`, 1): listed,
		strings.ReplaceAll(example, `"initrd": {"name": "initrd.img"},`, ""):                               none,
		strings.Replace(example, `"kernel": {"name": "vmlinuz"}, "initrd": {"name": "initrd.img"}, "cmdline": "console=ttyS0 roothash=1234"}
 ],
 "tpm"`, `"kernel": {"name": "node.efi"}, "inner": true}
 ],
 "tpm"`, 1): unified,
	} {
		if got, want := values(must(t, listed, files()), "tdx"), values(must(t, usual, files()), "tdx"); !maps.Equal(got, want) {
			t.Errorf("listed: %v, usual: %v", got, want)
		}
	}
	// Registers without events are left open, but RTMR 3.
	m = must(t, tdxEvents(`{"register":0,"kind":"separator"}`), files())
	if len(m.TDX.RTMR0) != 1 || m.TDX.RTMR1 != nil || m.TDX.RTMR2 != nil || len(m.TDX.RTMR3) != 1 {
		t.Errorf("%+v", m.TDX)
	}
	// Register 7 of a TPM.
	keys := `{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":` + secureBootKeys + `,"authorities":[{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","data":"6b65"}]}]}`
	listed = `{"tpm":[{"events":[{"register":7,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"SecureBoot","data":"01"},
		{"register":7,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK"},{"register":7,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"KEK"},
		{"register":7,"kind":"variable","guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","file":{"name":"db.esl"}},{"register":7,"kind":"variable","guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"dbx"},
		{"register":7,"kind":"separator"},{"register":7,"kind":"variable","guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","data":"6b65"}]}]}`
	if got, want := values(must(t, keys, files()), "tpm")["shape 1 sha256 pcr07"], values(must(t, listed, files()), "tpm")["shape 1 sha256 pcr07"]; got != want {
		t.Errorf("register 7: %s, listed %s", got, want)
	}
	listed = `{"tpm":[{"banks":["sha256","sha384"],"events":[
		{"register":4,"kind":"action","text":"Calling EFI Application from Boot Option"},{"register":4,"kind":"separator"},
		{"register":4,"kind":"image","file":{"name":"node.efi"}},{"register":4,"kind":"inner","file":{"name":"node.efi"}},
		{"register":9,"kind":"kernel","file":{"name":"node.efi"}},{"register":11,"kind":"unified","file":{"name":"node.efi"}}]}]}`
	got, want := values(must(t, listed, files()), "tpm"), values(base, "tpm")
	for _, still := range []string{"08", "12", "13"} {
		delete(want, "shape 1 sha256 pcr"+still)
		delete(want, "shape 1 sha384 pcr"+still)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	digest := `{"tpm":[{"events":[{"register":4,"kind":"digest","sha256":"` + strings.Repeat("ab", 32) + `","sha384":"` + strings.Repeat("cd", 48) + `"}]}]}`
	sum := sha256.Sum256(append(make([]byte, 32), bytes.Repeat([]byte{0xab}, 32)...))
	if got := values(must(t, digest, files()), "tpm")["shape 1 sha256 pcr04"]; got != hex.EncodeToString(sum[:]) {
		t.Errorf("a digest: %s", got)
	}
}

// TestShapes: several shapes of a machine are one list of values.
func TestShapes(t *testing.T) {
	one := `{"firmware": {"name": "OVMF.fd"}, "disk": true, "cpu": "EPYC", "vcpus": `
	m := must(t, `{"snp":[`+one+`1},`+one+`2},`+one+`1}]}`, files())
	if len(m.SNP.Measurements) != 2 || len(values(m, "snp")) != 3 {
		t.Errorf("%+v, %v", m.SNP, m.From)
	}
	if m.TDX != nil || m.TPM != nil || len(m.Rules()) != 1 {
		t.Errorf("rules of what wasn't described: %s", m.Rules())
	}
	image := `{"image":{"name":"node.efi"},"inner":`
	m = must(t, `{"tpm":[`+image+`true},`+image+`false}]}`, files())
	if len(m.TPM.PCRs[0].Values) != 2 || len(m.TPM.PCRs[1].Values) != 1 || len(m.TPM.Events[0].Begin) != 1 {
		t.Errorf("%+v", m.TPM)
	}
	other := files()
	other["other.efi"] = petest.Unified(petest.Section{Name: ".linux", Data: other["vmlinuz"]}, petest.Section{Name: ".cmdline", Data: []byte("other")})
	m = must(t, `{"tpm":[`+image+`true},{"image":{"name":"other.efi"},"inner":true}]}`, other)
	if len(m.TPM.Events) != 1 || len(m.TPM.Events[0].Begin) != 2 || slices.Equal(m.TPM.Events[0].Begin[0], m.TPM.Events[0].Begin[1]) {
		t.Errorf("%+v", m.TPM.Events)
	}
	// Registers that only some pin would let in the others' machines with anything.
	if _, err := compute(t, `{"tpm":[`+image+`true},{"events":[{"register":4,"kind":"separator"}]}]}`, files()); err == nil || !strings.Contains(err.Error(), "pins other registers") {
		t.Error(err)
	}
	if _, err := compute(t, `{"snp":[`+strings.Repeat(one+`1},`, 7)+one+`1}]}`, files()); err != nil {
		t.Error(err)
	}
	if _, err := compute(t, `{"snp":[`+strings.Repeat(one+`1},`, 8)+one+`1}]}`, files()); err == nil || !strings.Contains(err.Error(), "more than 8 shapes") {
		t.Error(err)
	}
}

// tdxEvents is a machine of Intel's with a list of events.
func tdxEvents(e string) string {
	return `{"tdx":[{"firmware":{"name":"OVMF.fd"},"memory":1073741824,"events":[` + e + `]}]}`
}

func TestRefused(t *testing.T) {
	const snpStart = `{"snp":[{"firmware":{"name":"OVMF.fd"},"vcpus":1,"cpu":"EPYC",`
	const tdxStart = `{"tdx":[{"firmware":{"name":"OVMF.fd"},"memory":1073741824,`
	const acpi = `"acpi":{"loader":{"name":"table-loader"},"rsdp":{"name":"rsdp"},"tables":{"name":"tables"}},`
	event := tdxEvents
	pcr := func(e string) string { return `{"tpm":[{"events":[` + e + `]}]}` }
	for name, v := range map[string]struct{ config, want string }{
		"nothing":             {`{}`, "describes no machine"},
		"empty":               {``, "can't be read"},
		"two":                 {`{"snp":[]} {}`, "can't be read"},
		"unknown":             {`{"sev":[]}`, "can't be read"},
		"twice":               {`{"snp":[],"snp":[]}`, "can't be read"},
		"null":                {`{"snp":null}`, "can't be read"},
		"too long":            {strings.Repeat(" ", measure.MaxConfig+1), "longer than"},
		"no file":             {snpStart + `"kernel":{"name":"nowhere"}}]}`, "a file is missing"},
		"no firmware":         {`{"snp":[{"firmware":{"name":"nowhere"},"disk":true,"vcpus":1,"cpu":"EPYC"}]}`, "a file is missing"},
		"another file":        {snpStart + `"kernel":{"name":"vmlinuz","sha256":"sha256:00"}}]}`, "another file than the one described"},
		"no metadata":         {`{"snp":[{"firmware":{"name":"firmware without metadata"},"disk":true,"vcpus":1,"cpu":"EPYC"}]}`, "no metadata for SEV-SNP"},
		"not firmware":        {`{"snp":[{"firmware":{"name":"initrd.img"},"disk":true,"vcpus":1,"cpu":"EPYC"}]}`, "isn't whole pages"},
		"kernel and disk":     {snpStart + `"kernel":{"name":"vmlinuz"},"disk":true}]}`, "a kernel and a disk"},
		"neither":             {snpStart + `"disk":false}]}`, "it has no kernel"},
		"initrd alone":        {snpStart + `"initrd":{"name":"initrd.img"},"disk":true}]}`, "and no kernel"},
		"cmdline alone":       {snpStart + `"cmdline":"x","disk":true}]}`, "and no kernel"},
		"cmdline":             {snpStart + `"cmdline":"a\tb","kernel":{"name":"vmlinuz"}}]}`, "printable ASCII"},
		"long cmdline":        {snpStart + `"cmdline":"` + strings.Repeat("a", 4097) + `","kernel":{"name":"vmlinuz"}}]}`, "longer than 4,096"},
		"missing initrd":      {snpStart + `"kernel":{"name":"vmlinuz"},"initrd":{"name":"nowhere"}}]}`, "a file is missing"},
		"Intel's pages":       {tdxStart + `"pages":"x"}]}`, "order of pages"},
		"nothing but that":    {tdxStart + `"pages":"page"}]}`, "lacks a kernel or the ACPI"},
		"no tables":           {tdxStart + `"kernel":{"name":"vmlinuz"}}]}`, "lacks a kernel or the ACPI"},
		"separator":           {tdxStart + acpi + `"last_separator":2,"kernel":{"name":"vmlinuz"}}]}`, "last_separator"},
		"Secure Boot":         {tdxStart + acpi + `"kernel":{"name":"vmlinuz"}}]}`, "secure_boot is neither"},
		"variables":           {tdxStart + acpi + `"secure_boot":"off","variables":[{"name":"PK"}],"kernel":{"name":"vmlinuz"}}]}`, "it has variables"},
		"no variables":        {tdxStart + acpi + `"secure_boot":"keys","kernel":{"name":"vmlinuz"}}]}`, "variables are SecureBoot"},
		"missing tables":      {strings.Replace(tdxStart+acpi+`"secure_boot":"off","kernel":{"name":"vmlinuz"}}]}`, `"rsdp"},"t`, `"x"},"t`, 1), "a file is missing"},
		"not a program":       {tdxStart + acpi + `"secure_boot":"off","cmdline":"a","kernel":{"name":"initrd.img"}}]}`, "isn't a program for UEFI"},
		"no cmdline":          {tdxStart + acpi + `"secure_boot":"off","kernel":{"name":"vmlinuz"}}]}`, "no command line"},
		"Intel's cmdline":     {tdxStart + acpi + `"secure_boot":"off","cmdline":"\u00e9","kernel":{"name":"vmlinuz"}}]}`, "printable ASCII"},
		"Intel's initrd":      {tdxStart + acpi + `"secure_boot":"off","cmdline":"a","kernel":{"name":"vmlinuz"},"initrd":{"name":"nowhere"}}]}`, "a file is missing"},
		"inner of none":       {tdxStart + acpi + `"secure_boot":"off","cmdline":"a","kernel":{"name":"vmlinuz"},"inner":true}]}`, "inner is about unified"},
		"unified and cmdline": {tdxStart + acpi + `"secure_boot":"off","cmdline":"a","kernel":{"name":"node.efi"},"inner":true}]}`, "leave yours out"},
		"unified and initrd":  {tdxStart + acpi + `"secure_boot":"off","initrd":{"name":"initrd.img"},"kernel":{"name":"node.efi"},"inner":true}]}`, "leave yours out"},
		"no memory":           {strings.Replace(tdxStart+acpi+`"secure_boot":"off","cmdline":"a","kernel":{"name":"vmlinuz"}}]}`, "1073741824", "0", 1), "memory isn't whole pages"},
		"tables, no kernel":   {tdxStart + acpi + `"secure_boot":"off","cmdline":"a"}]}`, "lacks a kernel or the ACPI"},
		"model with ec2":      {snpStart + `"disk":true,"host":"ec2"}]}`, "isn't measured with ec2"},
		"unknown stub":        {tdxStart + acpi + `"secure_boot":"off","kernel":{"name":"no stub.efi"},"inner":false}]}`, "doesn't say which systemd-stub"},
		"no kernel inside":    {tdxStart + acpi + `"secure_boot":"off","kernel":{"name":"no kernel.efi"},"inner":true}]}`, "kernel inside the image"},
		"no cmdline inside":   {tdxStart + acpi + `"secure_boot":"off","kernel":{"name":"no cmdline.efi"},"inner":false}]}`, "no command line of its own"},
		"two kernels inside":  {tdxStart + acpi + `"secure_boot":"off","kernel":{"name":"two kernels.efi"},"inner":false}]}`, ".linux twice"},
		"contents twice":      {`{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":` + strings.Replace(secureBootKeys, `"name":"db",`, `"name":"db","data":"00",`, 1) + `}]}`, "contents twice"},
		"variable's name":     {`{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":` + secureBootKeys + `,"authorities":[{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"\u0007"}]}]}`, "variable's name holds"},
		"long variable":       {`{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":` + secureBootKeys + `,"authorities":[{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","data":"` + strings.Repeat("00", 2049) + `"}]}]}`, "longer than 2,048"},
		"authority's GUID":    {`{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":` + secureBootKeys + `,"authorities":[{"guid":"d7","name":"db"}]}]}`, "a GUID is 32"},
		"129 authorities":     {`{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":` + secureBootKeys + `,"authorities":[` + many(129) + `]}]}`, "more than 128 variables"},
		"event's text":        {pcr(`{"register":4,"kind":"action","text":"\u0007"}`), "event's text holds"},
		"half a byte":         {pcr(`{"register":4,"kind":"bytes","data":"0"}`), "lower-case hex"},
		"short SHA-256":       {pcr(`{"register":4,"kind":"digest","sha256":"ab","sha384":"` + strings.Repeat("cd", 48) + `"}`), "not 64 or 96 hex digits"},
		"inner not said":      {tdxStart + acpi + `"secure_boot":"off","kernel":{"name":"node.efi"}}]}`, "inner is missing"},
		"events and more":     {tdxStart + `"cmdline":"a","events":[{"register":0,"kind":"separator"}]}]}`, "what they stand in place of"},
		"banks":               {`{"tpm":[{"banks":["sha1"],"image":{"name":"node.efi"},"inner":true}]}`, "banks are"},
		"bank twice":          {`{"tpm":[{"banks":["sha256","sha256"],"image":{"name":"node.efi"},"inner":true}]}`, "banks are"},
		"not unified":         {`{"tpm":[{"image":{"name":"vmlinuz"},"inner":true}]}`, "isn't a unified kernel image"},
		"inner not said, TPM": {`{"tpm":[{"image":{"name":"node.efi"}}]}`, "inner is missing"},
		"events and image":    {`{"tpm":[{"image":{"name":"node.efi"},"events":[{"register":0,"kind":"separator"}]}]}`, "what they stand in place of"},
		"register 4 of 3":     {event(`{"register":4,"kind":"separator"}`), "a register that there isn't"},
		"register -1":         {event(`{"register":-1,"kind":"separator"}`), "a register that there isn't"},
		"register 24":         {pcr(`{"register":24,"kind":"separator"}`), "a register that there isn't"},
		"register 16":         {pcr(`{"register":16,"kind":"separator"}`), "16 and 23 can be reset"},
		"register 23":         {pcr(`{"register":23,"kind":"separator"}`), "16 and 23 can be reset"},
		"too many events":     {pcr(strings.TrimSuffix(strings.Repeat(`{"register":4,"kind":"separator"},`, 129), ",")), "more than 128 events"},
		"kind":                {pcr(`{"register":4,"kind":"x"}`), `kind "x" isn't known`},
		"memory of a TPM":     {pcr(`{"register":4,"kind":"memory"}`), "only firmware for TDX"},
		"not hex":             {pcr(`{"register":4,"kind":"bytes","data":"0g"}`), "lower-case hex"},
		"upper case":          {pcr(`{"register":4,"kind":"bytes","data":"AB"}`), "lower-case hex"},
		"digest":              {pcr(`{"register":4,"kind":"digest","sha256":"ab","sha384":"cd"}`), "not 64 or 96 hex digits"},
		"short digest":        {event(`{"register":0,"kind":"digest","sha384":"cd"}`), "not 64 or 96 hex digits"},
		"digest of one bank":  {pcr(`{"register":4,"kind":"digest","sha384":"` + strings.Repeat("cd", 48) + `"}`), "other fields"},
		"SHA-256 in TDX":      {event(`{"register":0,"kind":"digest","sha256":"` + strings.Repeat("cd", 32) + `","sha384":"` + strings.Repeat("cd", 48) + `"}`), "other fields"},
		"variable twice":      {pcr(`{"register":7,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK","data":"00","file":{"name":"rsdp"}}`), "other fields"},
		"variable's GUID":     {pcr(`{"register":7,"kind":"variable","guid":"8be4df61","name":"PK"}`), "a GUID is 32 hex digits"},
		"large variable":      {pcr(`{"register":7,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK","file":{"name":"large"}}`), "longer than such a file"},
		"image of text":       {pcr(`{"register":4,"kind":"image","file":{"name":"initrd.img"}}`), "isn't a program for UEFI"},
		"inner of a kernel":   {pcr(`{"register":4,"kind":"inner","file":{"name":"vmlinuz"}}`), "isn't a unified kernel image"},
		"unified of text":     {pcr(`{"register":4,"kind":"unified","file":{"name":"initrd.img"}}`), "isn't a program for UEFI"},
		"kernel of a kernel":  {pcr(`{"register":4,"kind":"kernel","file":{"name":"vmlinuz"}}`), "no command line"},
		"missing contents":    {pcr(`{"register":4,"kind":"contents","file":{"name":"nowhere"}}`), "a file is missing"},
	} {
		if _, err := compute(t, v.config, files()); err == nil || !strings.HasPrefix(err.Error(), "measure: ") || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: %v, want %q", name, err, v.want)
		}
	}
	if _, err := compute(t, `{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":`+secureBootKeys+`,"authorities":[`+many(128)+`]}]}`, files()); err != nil {
		t.Error(err)
	}
	if _, err := compute(t, pcr(strings.TrimSuffix(strings.Repeat(`{"register":4,"kind":"separator"},`, 128), ",")), files()); err != nil {
		t.Error(err)
	}
	if _, err := compute(t, pcr(`{"register":7,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK","file":{"name":"largest"}}`), files()); err != nil {
		t.Error(err)
	}
	if _, err := compute(t, `{"snp":[{"firmware":{"name":"OVMF.fd"},"disk":true,"vcpus":1,"host":"ec2"}]}`, files()); err != nil {
		t.Error(err)
	}
	if _, err := compute(t, example+strings.Repeat(" ", measure.MaxConfig-len(example)), files()); err != nil {
		t.Error(err)
	}
	if _, err := compute(t, snpStart+`"cmdline":"`+strings.Repeat("~", 4095)+` ","kernel":{"name":"vmlinuz"}}]}`, files()); err != nil {
		t.Error(err)
	}
	if _, err := compute(t, `{"tpm":[{"image":{"name":"node.efi"},"inner":true,"variables":`+secureBootKeys+`,"authorities":[{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db","data":"`+strings.Repeat("00", 2048)+`"}]}]}`, files()); err != nil {
		t.Error(err)
	}
	// Events stand in place of all these.
	for _, more := range []string{`"acpi":{}`, `"secure_boot":"off"`, `"variables":[]`, `"kernel":{}`, `"initrd":{}`, `"cmdline":"a"`, `"inner":true`, `"last_separator":1`} {
		if _, err := compute(t, strings.Replace(event(`{"register":0,"kind":"separator"}`), `"events"`, more+`,"events"`, 1), files()); err == nil || !strings.Contains(err.Error(), "what they stand in place of") {
			t.Errorf("events and %s: %v", more, err)
		}
	}
	for _, more := range []string{`"image":{"name":"node.efi"}`, `"inner":true`, `"calling":true`, `"variables":[]`, `"authorities":[]`} {
		if _, err := compute(t, strings.Replace(pcr(`{"register":4,"kind":"separator"}`), `"events"`, more+`,"events"`, 1), files()); err == nil || !strings.Contains(err.Error(), "what they stand in place of") {
			t.Errorf("events and %s: %v", more, err)
		}
	}
	for _, kind := range []string{"contents", "image", "inner", "unified", "kernel"} {
		if _, err := compute(t, event(`{"register":0,"kind":"`+kind+`","file":{"name":"node.efi"},"text":"x"}`), files()); err == nil || !strings.Contains(err.Error(), "other fields") {
			t.Errorf("%s of a file and a text: %v", kind, err)
		}
	}
	// Each kind of event has its fields and no others.
	fields := map[string]string{"text": `"x"`, "data": `"00"`, "file": `{"name":"node.efi"}`, "guid": `"8be4df61-93ca-11d2-aa0d-00e098032b8c"`, "name": `"PK"`, "sha256": `"00"`, "sha384": `"00"`}
	for kind, good := range map[string][]string{
		"separator": {""}, "action": {"text"}, "text": {"text"}, "options": {"", "text"}, "bytes": {"data"}, "contents": {"file"}, "image": {"file"}, "inner": {"file"},
		"unified": {"file"}, "kernel": {"file"}, "variable": {}, "digest": {}, "memory": {""}, "configuration": {""},
	} {
		for _, f := range append(slices.Sorted(maps.Keys(fields)), "") {
			e := `{"register":0,"kind":"` + kind + `"`
			if f != "" {
				e += `,"` + f + `":` + fields[f]
			}
			if _, err := compute(t, event(e+"}"), files()); (err == nil) != slices.Contains(good, f) {
				t.Errorf("%s with %q: %v", kind, f, err)
			}
		}
	}
	if _, err := measure.Compute(measure.Inputs{}); err == nil {
		t.Error("nothing is measured")
	}
}

// many are as many variables.
func many(n int) string {
	return strings.TrimSuffix(strings.Repeat(`{"guid":"d719b2cb-3d3a-4596-a3bc-dad00e67656f","name":"db"},`, n), ",")
}

var errDisk = errors.New("the disk is broken")

// failing fails once, after a number of reads of all its files.
type failing struct {
	r     io.ReaderAt
	after *int
}

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if *f.after--; *f.after == -1 {
		return 0, errDisk
	}
	return f.r.ReadAt(p, at)
}

// TestFailing: whichever read fails, nothing comes out.
func TestFailing(t *testing.T) {
	fs := files()
	unified := strings.Replace(example, `"kernel": {"name": "vmlinuz"}, "initrd": {"name": "initrd.img"}, "cmdline": "console=ttyS0 roothash=1234"}
 ],
 "tpm"`, `"kernel": {"name": "node.efi"}, "inner": true}
 ],
 "tpm"`, 1)
	listed := tdxEvents(`{"register":0,"kind":"contents","file":{"name":"rsdp"}},{"register":0,"kind":"image","file":{"name":"vmlinuz"}},{"register":0,"kind":"inner","file":{"name":"node.efi"}}`)
	for _, config := range []string{example, unified, listed} {
		for reads := 0; ; reads++ {
			in, err := measure.Parse([]byte(config))
			if err != nil {
				t.Fatal(err)
			}
			after := reads
			for _, f := range in.Files() {
				f.Open(failing{bytes.NewReader(fs[f.Name]), &after}, int64(len(fs[f.Name])))
			}
			_, err = measure.Compute(in)
			if after >= 0 {
				if err != nil || reads < 5 {
					t.Errorf("%v after %d reads", err, reads)
				}
				break
			}
			if !errors.Is(err, errDisk) {
				t.Errorf("read %d failed: %v", reads+1, err)
			}
		}
	}
}

// fickle gives other bytes the second time.
type fickle struct {
	b     []byte
	reads int
}

func (f *fickle) ReadAt(p []byte, at int64) (int, error) {
	n, err := bytes.NewReader(f.b).ReadAt(p, at)
	if at == 0 {
		if f.reads++; f.reads > 1 {
			p[0] ^= 1
		}
	}
	return n, err
}

// TestFiles: what is read must be what was described, and all of it.
func TestFiles(t *testing.T) {
	config := `{"snp":[{"firmware":{"name":"OVMF.fd"},"disk":true,"vcpus":1,"cpu":"EPYC"}]}`
	fs := files()
	for want, r := range map[string]struct {
		r    io.ReaderAt
		size int64
	}{
		"changed while it was read": {&fickle{b: fs["OVMF.fd"]}, int64(len(fs["OVMF.fd"]))},
		"can't be read":             {bytes.NewReader(fs["OVMF.fd"]), int64(len(fs["OVMF.fd"])) + 4096},
	} {
		in, err := measure.Parse([]byte(config))
		if err != nil {
			t.Fatal(err)
		}
		in.Files()[0].Open(r.r, r.size)
		if _, err := measure.Compute(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	in, err := measure.Parse([]byte(`{"snp":[{"firmware":{"name":"OVMF.fd"},"kernel":{"name":"vmlinuz"},"vcpus":1,"cpu":"EPYC"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	open(in, fs)
	in.SNP[0].Kernel.Open(bytes.NewReader(fs["vmlinuz"]), int64(len(fs["vmlinuz"]))+1)
	if _, err := measure.Compute(in); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a kernel that ends early: %v", err)
	}
	// Every file is asked for, and none that isn't there.
	in, err = measure.Parse([]byte(`{"tpm":[{"image":{"name":"a"},"variables":[{"contents":{"name":"b"}}],"authorities":[{"contents":{"name":"c"}}]},
		{"events":[{"file":{"name":"d"}},{"kind":"separator"}]}],"tdx":[{"firmware":{"name":"e"},"variables":[{"contents":{"name":"f"}}],"events":[{"file":{"name":"g"}}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, f := range in.Files() {
		asked = append(asked, f.Name)
	}
	if slices.Sort(asked); strings.Join(asked, ",") != "a,b,c,d,e,f,g" {
		t.Errorf("asked for %q", asked)
	}
	// Digests are found, and hold the next time.
	in, err = measure.Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, f := range in.Files() {
		names[f.Name]++
	}
	if want := map[string]int{"OVMF.fd": 2, "vmlinuz": 2, "initrd.img": 2, "table-loader": 1, "rsdp": 1, "tables": 1, "node.efi": 1}; !maps.Equal(names, want) {
		t.Errorf("%v", names)
	}
	open(in, fs)
	if _, err := measure.Compute(in); err != nil {
		t.Fatal(err)
	}
	for _, f := range in.Files() {
		if sum := sha256.Sum256(fs[f.Name]); f.SHA256 != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Errorf("%s: %s", f.Name, f.SHA256)
		}
	}
	if _, err := measure.Compute(in); err != nil {
		t.Error(err)
	}
	fs["initrd.img"] = []byte("another")
	open(in, fs)
	if _, err := measure.Compute(in); err == nil {
		t.Error("another file goes through")
	}
}

func FuzzCompute(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"tpm":[{"events":[{"register":4,"kind":"options","text":"x"},{"register":4,"kind":"variable","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","name":"PK","data":"00"}]}]}`))
	f.Add([]byte(`{"snp":[{"firmware":{"name":"OVMF.fd"},"disk":true,"vcpus":1,"cpu":"0x800f12","host":"ec2","features":1}]}`))
	fs := files()
	delete(fs, "large")
	delete(fs, "largest")
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := compute(t, string(b), fs)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "measure: ") {
				t.Fatal(err)
			}
			return
		}
		for name, raw := range m.Rules() {
			p := attest.Policy{Platforms: map[string]json.RawMessage{name: raw}}
			platform := map[string]attest.Platform{"snp": snp.Platform{}, "tdx": tdx.Platform{}, "tpm": tpm.Platform{}}[name]
			for _, c := range platform.Verify(nil, attest.Claim{Unbound: true}, p, time.Unix(1e9, 0)).Checks {
				if c.Failure == attest.FailPolicyMalformed {
					t.Fatalf("%s: %s", raw, c.Detail)
				}
			}
		}
	})
}
