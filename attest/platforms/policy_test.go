// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package platforms

import (
	"strings"
	"testing"
)

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(`{"allow_software":true,"require":["snp"],"max_lifetime":900,"platforms":{"snp":{"min_guest_svn":3}}}`+"\n"), All())
	if err != nil {
		t.Fatal(err)
	}
	if !p.AllowSoftware || len(p.Require) != 1 || p.MaxLifetime != 900 || len(p.Platforms) != 1 {
		t.Errorf("policy %+v", p)
	}
	if p, err := ParsePolicy([]byte(`{}`), All()); err != nil || p.AllowSoftware {
		t.Errorf("an empty policy: %+v, %v", p, err)
	}
}

// What would count for nothing is refused, and leaves no policy behind.
func TestParsePolicyRefuses(t *testing.T) {
	long := `{"releases":["none"` + strings.Repeat(" ", MaxPolicy) + `]}`
	for name, c := range map[string]struct{ doc, want string }{
		"nothing":              {``, "EOF"},
		"no object":            {`[]`, ""},
		"unknown field":        {`{"allow_sofware":true}`, "allow_sofware"},
		"field twice":          {`{"require":["snp"],"require":[]}`, "twice"},
		"field in two cases":   {`{"require":["snp"],"Require":[]}`, "twice"},
		"rule twice":           {`{"platforms":{"snp":{"min_guest_svn":3,"min_guest_svn":0}}}`, "twice"},
		"two documents":        {`{} {}`, "follow"},
		"wrong type":           {`{"allow_software":"yes"}`, ""},
		"rules for no kind":    {`{"platforms":{"sgx":{}}}`, "it has rules for “sgx”"},
		"requires no kind":     {`{"require":["sgx"]}`, "it requires “sgx”, which is no kind of hardware that this program knows (snp, tdx, tpm, nvidia, software)"},
		"rule that isn't read": {`{"platforms":{"tdx":{"no_such_rule":1}}}`, "no_such_rule"},
		"another kind's rule":  {`{"platforms":{"tpm":{"min_guest_svn":3}}}`, "min_guest_svn"},
		"empty list":           {`{"platforms":{"snp":{"measurements":[]}}}`, "measurements"},
		"too long":             {long, "longer than"},
	} {
		p, err := ParsePolicy([]byte(c.doc), All())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, c.want)
		}
		if p.AllowSoftware || p.Require != nil || p.Platforms != nil {
			t.Errorf("%s: something is left: %+v", name, p)
		}
	}
	if _, err := ParsePolicy([]byte(long[:20]+strings.Repeat(" ", MaxPolicy-22)+"]}"), All()); err != nil {
		t.Errorf("a policy of %d bytes: %v", MaxPolicy, err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"require":["snp"],"platforms":{"snp":{"min_guest_svn":3},"tdx":{}}}`))
	f.Add([]byte(`{"allow_software":true}`))
	f.Fuzz(func(t *testing.T, doc []byte) { _, _ = ParsePolicy(doc, All()) })
}
