// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
	"github.com/sotto-chat/sotto/attest/software"
)

// fakeTime is the second at which all fake evidence is good, as scripts write it.
const fakeTime = snptest.Now

// fakes are the platforms with the roots of fake makers.
func fakes() []attest.Platform {
	return []attest.Platform{
		snp.Platform{Roots: snptest.New("Milan", [64]byte{}).AMD.Roots()},
		software.Platform{},
	}
}

// mainOfFakes is sotto, but for the makers that it trusts: those of fake silicon.
func mainOfFakes() {
	a := newApp()
	a.platforms = fakes()
	os.Exit(a.run(os.Args[1:]))
}

// silicon KIND writes the files of one fake machine into the folder KIND. What
// it signs is report data of 64 bytes 01.
func siliconCommand(ts *testscript.TestScript, neg bool, args []string) {
	var rd [64]byte
	for i := range rd {
		rd[i] = 1
	}
	write := func(name string, b []byte) { ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o600)) }
	block := func(kind string, b []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
	}
	switch args[0] {
	case "snp":
		m := snptest.New("Milan", rd)
		ts.Check(os.MkdirAll(ts.MkAbs("snp"), 0o700))
		report := m.ReportBytes()
		write("snp/report.bin", report)
		write("snp/extended.bin", slices.Concat(report, snptest.CertTable(m.LeafCert(), m.AMD.Intermediate(false).Raw, m.AMD.Root().Raw)))
		write("snp/vcek.der", m.LeafCert())
		write("snp/chain.pem", slices.Concat(block("CERTIFICATE", m.AMD.Intermediate(false).Raw), block("CERTIFICATE", m.AMD.Root().Raw)))
		write("snp/crl.der", m.AMD.CRL(*m.List))
		write("snp/whole.bin", m.Data())
		m.Report.Policy |= 1 << 19 // debugging
		write("snp/debug.bin", m.Data())
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
