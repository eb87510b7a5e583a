// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidiadata_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiadata"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
)

var (
	gpu    = nvidiatest.Default().GPU("GH100")
	report = gpu.Report()
)

func chainPEM() []byte {
	var out []byte
	for _, c := range gpu.Certificates() {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	return append(out, 0)
}

func TestFromReports(t *testing.T) {
	table, err := nvidiatest.Table(gpu).Encode()
	if err != nil {
		t.Fatal(err)
	}
	crl := gpu.Vendor.CRL(gpu, nvidiatest.Model, time.Unix(1_800_000_000, 0))
	want := nvidiatest.Evidence([][]byte{table}, [][]byte{crl}, gpu)
	for _, chain := range [][]byte{gpu.Chain(), chainPEM()} {
		got, err := nvidiadata.FromReports([]nvidiadata.Report{{Report: report, Chain: chain}}, crl, table)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	good := nvidiadata.Report{Report: report, Chain: gpu.Chain()}
	for name, try := range map[string]func() ([]byte, error){
		"none": func() ([]byte, error) { return nvidiadata.FromReports(nil) },
		"17":   func() ([]byte, error) { return nvidiadata.FromReports(make17(good)) },
		"report": func() ([]byte, error) {
			return nvidiadata.FromReports([]nvidiadata.Report{{Report: report[1:], Chain: gpu.Chain()}})
		},
		"chain": func() ([]byte, error) {
			return nvidiadata.FromReports([]nvidiadata.Report{{Report: report, Chain: report}})
		},
		"pem": func() ([]byte, error) {
			return nvidiadata.FromReports([]nvidiadata.Report{{Report: report, Chain: []byte("-----BEGIN x")}})
		},
		"collateral": func() ([]byte, error) { return nvidiadata.FromReports([]nvidiadata.Report{good}, table[1:]) },
	} {
		if _, err := try(); err == nil || name == "pem" && !strings.Contains(err.Error(), "RFC 7468") {
			t.Errorf("%s: made", name)
		}
	}
}

func make17(r nvidiadata.Report) (out []nvidiadata.Report) {
	for range 17 {
		out = append(out, r)
	}
	return out
}

func TestRead(t *testing.T) {
	item := map[string]string{"arch": "HOPPER", "evidence": base64.StdEncoding.EncodeToString(report), "certificate": base64.StdEncoding.EncodeToString(chainPEM())}
	list, _ := json.Marshal([]any{item, item})
	doc, _ := json.Marshal(map[string]any{"evidences": []any{item}, "result_code": 0})
	hexText := hex.EncodeToString(report)
	for name, tt := range map[string]struct {
		file  []byte
		n     int
		chain bool
	}{
		"raw":      {report, 1, false},
		"hex":      {[]byte(hexText[:100] + "\n" + strings.ToUpper(hexText[100:]) + "\n"), 1, false},
		"base64":   {[]byte(base64.StdEncoding.EncodeToString(report)), 1, false},
		"list":     {list, 2, true},
		"document": {append([]byte(" \n"), doc...), 1, true},
	} {
		got, err := nvidiadata.Read(tt.file)
		if err != nil || len(got) != tt.n || !bytes.Equal(got[0].Report, report) || (got[0].Chain != nil) != tt.chain {
			t.Errorf("%s: %d reports, %v", name, len(got), err)
			continue
		}
		if tt.chain {
			if _, err := nvidiadata.FromReports(got[:1]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	bad, _ := json.Marshal([]any{map[string]string{"evidence": "AAAA"}})
	odd := map[string]any{"evidence": item["evidence"], "certificate": 1}
	oddList, _ := json.Marshal([]any{odd})
	oddDoc, _ := json.Marshal(map[string]any{"evidences": []any{odd}})
	for size, long := range map[int]bool{nvidiadata.MaxFile: false, nvidiadata.MaxFile + 1: true} {
		if _, err := nvidiadata.Read(make([]byte, size)); err == nil || strings.Contains(err.Error(), "too long") != long {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	for _, file := range [][]byte{nil, []byte("x"), []byte("[]"), []byte("{}"), []byte("[1]"), []byte(`{"evidences":1}`), bad, []byte("00"), report[:50], oddList, oddDoc} {
		if _, err := nvidiadata.Read(file); err == nil {
			t.Errorf("%.20q read", file)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(report)
	f.Add([]byte(hex.EncodeToString(report)))
	f.Add([]byte(`[{"evidence":"AAAA"}]`))
	f.Fuzz(func(t *testing.T, file []byte) {
		list, err := nvidiadata.Read(file)
		if err == nil && len(list) == 0 {
			t.Fatal("nothing, and no error")
		}
		for _, r := range list {
			if _, err := nvidia.ParseReport(r.Report); err != nil {
				t.Fatal(err)
			}
		}
	})
}
