// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package evidencefile

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// samples are files as hardware and tools write them, by platform.
func samples() map[string][][]byte {
	m, td, tp := snptest.New("Milan", [64]byte{}), tdxtest.New([64]byte{}), tpmtest.New()
	gpu := nvidiatest.Default().GPU("GH100").Report()
	return map[string][][]byte{
		"snp":    {m.ReportBytes(), m.Data(), append(m.ReportBytes(), snptest.CertTable(m.LeafCert())...)},
		"tdx":    {td.Quote(), td.Data(), append(td.Quote(), make([]byte, 64)...)},
		"tpm":    {tp.Quote(), tp.Raw()},
		"nvidia": {gpu, section.Append(nil, 1, gpu), fmtJSON([]any{map[string][]byte{"evidence": gpu}}), fmtJSON(map[string]any{"evidences": []any{map[string][]byte{"evidence": gpu}}})},
	}
}

func fmtJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// forms are the ways in which bytes lie about in text.
func forms(b []byte) map[string][]byte {
	digits := hex.EncodeToString(b)
	var lines, colons strings.Builder
	for i := 0; i < len(digits); i += 2 {
		colons.WriteString(digits[i:i+2] + ":")
		lines.WriteString(digits[i : i+2])
		if i%64 == 62 {
			lines.WriteString("\r\n")
		}
	}
	return map[string][]byte{
		"bytes":           b,
		"hex":             []byte(digits),
		"hex with 0x":     []byte("0x" + strings.ToUpper(digits) + "\n"),
		"hex in lines":    []byte(lines.String()),
		"hex with colons": []byte(strings.TrimSuffix(colons.String(), ":")),
		"base64":          []byte(base64.StdEncoding.EncodeToString(b) + "\n"),
		"base64url":       []byte(base64.RawURLEncoding.EncodeToString(b)),
		"in quotes":       []byte(`"` + base64.StdEncoding.EncodeToString(b) + `"`),
		"PEM":             pem.EncodeToMemory(&pem.Block{Type: "EVIDENCE", Bytes: b}),
		"base64 of hex":   []byte(base64.StdEncoding.EncodeToString([]byte(digits))),
	}
}

func TestRead(t *testing.T) {
	for platform, files := range samples() {
		for i, b := range files {
			for form, text := range forms(b) {
				f, err := Read(text)
				if err != nil || len(f.Pieces) != 1 || f.Pieces[0].Platform != platform || f.Bundles != nil {
					t.Errorf("%s %d as %s: %v, %v", platform, i, form, f, err)
				}
			}
		}
	}
}

func TestReadBundles(t *testing.T) {
	bundle := []byte(`{"v":1,"key_config":"e30=","evidence":[]}`)
	list := fmtJSON([]any{map[string]any{"id": "a", "bundles": [][]byte{bundle}}, map[string]any{"bundles": [][]byte{bundle, bundle}}})
	for name, tt := range map[string]struct {
		doc []byte
		n   int
	}{
		"a bundle":             {bundle, 1},
		"with a line end":      {append(bytes.Clone(bundle), '\n'), 1},
		"an evidence document": {fmtJSON(map[string]any{"v": 1, "bundles": [][]byte{bundle, bundle}}), 2},
		"a node list":          {fmtJSON(map[string]any{"v": 1, "nodes": json.RawMessage(list)}), 3},
		"a proof":              {fmtJSON(map[string]any{"nodes": map[string]any{"v": 1, "nodes": json.RawMessage(list)}}), 3},
		"a vector":             {fmtJSON(map[string]any{"name": "x", "bundle": bundle}), 1},
		"base64":               {[]byte(base64.StdEncoding.EncodeToString(bundle)), 1},
	} {
		f, err := Read(tt.doc)
		if err != nil || len(f.Bundles) != tt.n || f.Pieces != nil || !bytes.Equal(f.Bundles[0], bundle) {
			t.Errorf("%s: %d bundles, %v", name, len(f.Bundles), err)
		}
	}
	many := make([][]byte, MaxBundles+1)
	for i := range many {
		many[i] = bundle
	}
	if _, err := Read(fmtJSON(map[string]any{"bundles": many})); err == nil {
		t.Error("too many bundles were taken")
	}
}

func TestReadRefuses(t *testing.T) {
	report := snptest.New("Milan", [64]byte{}).ReportBytes()
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"white space":           []byte(" \n\t"),
		"prose":                 []byte("Dear Sir or Madam"),
		"half a report":         report[:600],
		"a report and a byte":   append(bytes.Clone(report), 0),
		"a wrapped nothing":     []byte(base64.StdEncoding.EncodeToString(nil)),
		"too many wraps":        forms(forms(forms(forms(forms(report)["base64"])["base64"])["base64"])["base64"])["base64"],
		"an empty list":         []byte("[]"),
		"a list of nothing":     []byte("[null]"),
		"nodes without bundles": []byte(`{"nodes":[]}`),
		"nodes in a circle":     []byte(`{"nodes":{"nodes":{"nodes":[]}}}`),
		"a JSON of nothing":     []byte(`{}`),
		"GPUs that are none":    []byte(`[{"evidence":"AAAA"}]`),
		// A name ends up in a path, and on a terminal.
		"a path for a name":  []byte(`{"platform":"../..","data":"AAAA"}`),
		"a line for a name":  []byte(`{"platform":"snp\nok","data":"AAAA"}`),
		"a long name":        []byte(`{"platform":"` + strings.Repeat("a", 17) + `","data":"AAAA"}`),
		"a list of too much": []byte(`{"evidences":[` + strings.Repeat("{},", maxCommas) + `{}],"bundles":["AAAA",""]}`),
		"too long":           make([]byte, MaxFile+1),
	} {
		if f, err := Read(b); err == nil {
			t.Errorf("%s: read as %v", name, f)
		}
	}
}

func TestFurther(t *testing.T) {
	m, td, tp := snptest.New("Milan", [64]byte{}), tdxtest.New([64]byte{}), tpmtest.New()
	p := tp.Parts()
	chain := nvidiatest.Default().GPU("GH100").Chain()
	for name, tt := range map[string]struct {
		b []byte
		k kind
	}{
		"certificate":   {m.LeafCert(), kindX509},
		"list":          {m.AMD.CRL(*m.List), kindX509},
		"chain":         {chain, kindX509},
		"PEM":           {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.LeafCert()}), kindX509},
		"TCB info":      {td.Document("tcbInfo"), kindIntel},
		"QE identity":   {td.Document("enclaveIdentity"), kindIntel},
		"log of TDX":    {td.Log, kindLog},
		"log of a TPM":  {p.Log, kindLog},
		"TPM signature": {p.Signature, kindTPMSignature},
		"TPM key":       {p.Public, kindTPMKey},
		"TPM2B key":     {append([]byte{0, byte(len(p.Public))}, p.Public...), kindTPMKey},
		"registers":     {p.Values, kindValues},
		"RIM":           {[]byte(`<?xml version="1.0"?><SoftwareIdentity/>`), kindRIM},
		"prose":         {[]byte("this is nothing of all that, and goes on and on like this for long"), kindUnknown},
	} {
		for form, text := range map[string][]byte{"bytes": tt.b, "hex": []byte(hex.EncodeToString(tt.b)), "base64": []byte(base64.StdEncoding.EncodeToString(tt.b))} {
			if got := classify(text); got.kind != tt.k {
				t.Errorf("%s as %s: kind %d, want %d", name, form, got.kind, tt.k)
			}
		}
	}
	f := File{Pieces: []Piece{{Platform: "snp", Raw: m.ReportBytes()}}}
	if _, err := f.Evidence([]collateral.File{{Name: "letter.txt", Data: []byte("Dear Sir or Madam, I am no certificate")}}, time.Unix(snptest.Now, 0)); err == nil || !strings.Contains(err.Error(), "letter.txt") {
		t.Errorf("a letter: %v", err)
	}
}

// Whatever a file holds, it is read or refused, and what was read has a platform.
func FuzzRead(f *testing.F) {
	for _, files := range samples() {
		for _, b := range files {
			f.Add(b)
			f.Add(forms(b)["base64"])
		}
	}
	f.Add([]byte(`{"v":1,"nodes":[{"bundles":["e30="]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Read(b)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a sentence")
			}
			return
		}
		if len(file.Bundles)+len(file.Pieces) == 0 || file.String() == "" {
			t.Fatal("read, and nothing found")
		}
		e, err := file.Evidence([]collateral.File{{Name: "x", Data: b}}, time.Unix(snptest.Now, 0))
		if err == nil {
			attest.Examine(e, nil, attest.Policy{}, time.Unix(snptest.Now, 0))
		}
	})
}
