// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package nvml_test

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/node/hardware/nvml"
)

// The driver's library is the edge of the machine, so it is what is faked: by a
// real shared object, which is loaded and called as NVIDIA's is.
//
//go:embed testdata/fake.c
var fake string

// compile returns the fake's bytes.
func compile(t *testing.T, args ...string) []byte {
	t.Helper()
	src, lib := filepath.Join(t.TempDir(), "fake.c"), filepath.Join(t.TempDir(), "lib.so")
	if err := os.WriteFile(src, []byte(fake), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", append(args, "-shared", "-fPIC", "-o", lib, src, "-ldl")...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	b, err := os.ReadFile(lib)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// library puts a fake where it finds the files, and tells it how to behave.
func library(t *testing.T, code []byte, files map[string][]byte, how string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), nvml.Library)
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, code)
	write(path+".how", []byte(how))
	for name, b := range files {
		write(path+"."+name, b)
	}
	return path
}

var reportData = [64]byte{1, 2, 3}

// record has fake GPUs answer for the report data, and returns what they say.
func record(n int, change func(*nvidiatest.GPU)) map[string][]byte {
	files := map[string][]byte{}
	for i := range n {
		g := nvidiatest.Default().GPU("GH100")
		g.Nonce = attest.Claim{ReportData: reportData}.Nonce(nvidia.Name)
		if change != nil {
			change(g)
		}
		var chain []byte
		for _, c := range g.Certificates() {
			chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
		}
		files["report"+strconv.Itoa(i)], files["chain"+strconv.Itoa(i)] = g.Report(), chain
	}
	return files
}

func TestEvidence(t *testing.T) {
	said := record(2, nil)
	gpus, err := nvml.Open(library(t, compile(t), said, "count 2"))
	if err != nil {
		t.Fatal(err)
	}
	crl := nvidiatest.Default().CRL(nvidiatest.Default().GPU("GH100"), nvidiatest.Model, time.Now())
	table, err := (&nvidia.Table{Driver: "570.124.06", VBIOS: "96.00.9F.00.04", Entries: []nvidia.Entry{{Index: 1, Digests: [][]byte{make([]byte, nvidia.HashSize)}}}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		list, err := gpus.Evidence(reportData, crl, table)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Platform != nvidia.Name {
			t.Fatalf("evidence %v", list)
		}
		if d := list[0].Data; !bytes.Contains(d, said["report0"]) || !bytes.Contains(d, said["report1"]) {
			t.Error("a GPU is missing in the evidence")
		}
		a := nvidia.Platform{Roots: nvidiatest.Default().Roots()}.Verify(list[0].Data, attest.Claim{ReportData: reportData}, attest.Policy{}, time.Now())
		for _, c := range a.Checks {
			if c.Status == attest.StatusFail {
				t.Errorf("%s: %s %s", c.ID, c.Failure, c.Detail)
			}
		}
	}
	// What is no list must not get into what everybody can fetch: least of all a key.
	key, err := x509.MarshalPKCS8PrivateKey(nvidiatest.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{[]byte("x"), []byte("0"), key, nvidiatest.Default().GPU("GH100").Certificates()[0]} {
		if _, err := gpus.Evidence(reportData, b); err == nil {
			t.Errorf("strange collateral was taken: %x…", b[:1])
		}
	}
	if err := gpus.Close(); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	good, code := record(1, nil), compile(t)
	for _, tt := range []struct {
		name      string
		code      []byte
		files     map[string][]byte
		how       string
		open, ask string // what the error must say
	}{
		{"protected PCIe", code, good, "cc 0 multi 1", "", ""},
		{"mode off", code, good, "cc 0", "confidential mode is off", ""},
		{"tools on", code, good, "tools-after 0", "developers' tools are on", ""},
		{"tools on later", code, good, "tools-after 1", "", "developers' tools are on"},
		{"no GPU", code, good, "count 0", "there are 0 GPUs", ""},
		{"17 GPUs", code, good, "count 17", "there are 17 GPUs", ""},
		{"does not start", code, good, "fail-init 1", "nvmlInit failed with code 9", ""},
		{"cannot count", code, good, "fail-count 1", "nvmlDeviceGetCount failed with code 9", ""},
		{"no handle", code, good, "fail-handle 1", "nvmlDeviceGetHandleByIndex failed with code 9", ""},
		{"no settings", code, good, "fail-settings 1", "nvmlSystemGetConfComputeSettings failed with code 9", ""},
		{"old driver", compile(t, "-DOLD"), good, "", "the driver is too old", ""},
		{"no report", code, good, "fail-report 1", "", "GPU 1: nvmlDeviceGetConfComputeGpuAttestationReport failed with code 9"},
		{"no certificate", code, good, "fail-chain 1", "", "GPU 1: nvmlDeviceGetConfComputeGpuCertificate failed with code 9"},
		{"long report", code, good, "report-size 0x2001", "", "sizes that its buffers don't have"},
		{"long chain", code, good, "chain-size 0x1401", "", "sizes that its buffers don't have"},
		{"cut report", code, good, "report-size 100", "", "doesn't answer what was asked"},
		{"cut chain", code, good, "chain-size 100", "", "GPU 1"},
		{"report for another", code, record(1, func(g *nvidiatest.GPU) { g.Nonce[0] ^= 1 }), "", "", "doesn't answer what was asked"},
	} {
		gpus, err := nvml.Open(library(t, tt.code, tt.files, tt.how))
		if says := tt.open; (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: Open: %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		_, err = gpus.Evidence(reportData)
		if says := tt.ask; (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: Evidence: %v", tt.name, err)
		}
		if err := gpus.Close(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := nvml.Open(filepath.Join(t.TempDir(), "nothing.so")); err == nil {
		t.Error("a library that isn't there was opened")
	}
}
