// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

// rootsFile is the environment variable that names the file with the keys of the
// fake makers' roots. They are new in each run of the tests.
const rootsFile = "SOTTO_TEST_ROOTS"

// fakeRoots writes the file.
func fakeRoots(name string) error {
	b, err := json.Marshal(map[string][]cert.Root{
		"snp": snptest.New("Milan", [64]byte{}).AMD.Roots(), "tdx": tdxtest.Roots(), "tpm": tpmtest.Roots(), "nvidia": nvidiatest.Default().Roots(),
	})
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o600)
}

// mainOfFakes is sotto, but for the makers that it trusts: those of fake silicon.
func mainOfFakes() {
	var roots map[string][]cert.Root
	b, err := os.ReadFile(os.Getenv(rootsFile))
	if err == nil {
		err = json.Unmarshal(b, &roots)
	}
	if err != nil {
		panic(err)
	}
	a := newApp()
	a.platforms = []attest.Platform{
		snp.Platform{Roots: roots["snp"]}, tdx.Platform{Roots: roots["tdx"]}, tpm.Platform{Roots: roots["tpm"]},
		nvidia.Platform{Roots: roots["nvidia"]}, software.Platform{},
	}
	os.Exit(a.run(os.Args[1:]))
}

// silicon KIND writes the files of one fake machine into the folder KIND. What
// it signs is report data of 64 bytes 01.
func siliconCommand(ts *testscript.TestScript, neg bool, args []string) {
	var rd [64]byte
	for i := range rd {
		rd[i] = 1
	}
	write := func(name string, b []byte) {
		ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(name)), 0o700))
		ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o600))
	}
	block := func(kind string, b []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
	}
	switch args[0] {
	case "snp":
		m := snptest.New("Milan", rd)
		report := m.ReportBytes()
		write("snp/report.bin", report)
		write("snp/extended.bin", slices.Concat(report, snptest.CertTable(m.LeafCert(), m.AMD.Intermediate(false).Raw, m.AMD.Root().Raw)))
		write("snp/vcek.der", m.LeafCert())
		write("snp/chain.pem", slices.Concat(block("CERTIFICATE", m.AMD.Intermediate(false).Raw), block("CERTIFICATE", m.AMD.Root().Raw)))
		write("snp/crl.der", m.AMD.CRL(*m.List))
		write("snp/whole.bin", m.Data())
		m.Report.Policy |= 1 << 19 // debugging
		write("snp/debug.bin", m.Data())
	case "tdx":
		m := tdxtest.New(rd)
		write("tdx/quote.bin", m.Quote())
		write("tdx/padded.bin", append(m.Quote(), make([]byte, 500)...))
		write("tdx/whole.bin", m.Data())
		write("tdx/log.bin", m.Log)
		for i, f := range m.Files() {
			write("tdx/"+strconv.Itoa(i), f)
		}
	case "tpm":
		m := tpmtest.New()
		m.Extra = rd[:32]
		p := m.Parts()
		write("tpm/whole.bin", m.Raw())
		write("tpm/quote.msg", p.Quote)
		write("tpm/quote.sig", p.Signature)
		write("tpm/ak.pub", append([]byte{0, byte(len(p.Public))}, p.Public...)) // TPM2B_PUBLIC
		write("tpm/log.bin", p.Log)
		write("tpm/pcrs", p.Values)
		for i, c := range slices.Concat(p.Certificates, p.CRLs) {
			write("tpm/certs/"+strconv.Itoa(i), c)
		}
	case "nvidia":
		g := nvidiatest.Default().GPU("GH100")
		write("nvidia/report.bin", g.Report())
		write("nvidia/chain.der", g.Chain())
		write("nvidia/evidence.json", fmt.Appendf(nil, `[{"evidence":%q,"certificate":%q}]`,
			base64.StdEncoding.EncodeToString(g.Report()), base64.StdEncoding.EncodeToString(g.Chain())))
	default:
		ts.Fatalf("no such silicon: %s", args[0])
	}
}

// wrap FORM FILE TO writes a file in another form.
func wrapCommand(ts *testscript.TestScript, neg bool, args []string) {
	b := []byte(ts.ReadFile(args[1]))
	var out []byte
	switch args[0] {
	case "hex":
		out = []byte(hex.EncodeToString(b) + "\n")
	case "base64":
		out = []byte(base64.StdEncoding.EncodeToString(b) + "\n")
	case "pem":
		out = pem.EncodeToMemory(&pem.Block{Type: "SEV-SNP REPORT", Bytes: b})
	default:
		ts.Fatalf("no such form: %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), out, 0o600))
}
