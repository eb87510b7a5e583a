// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package hardware

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
	"github.com/sotto-chat/sotto/node/hardware/tsm"
)

// chip is a processor that says what a test wants.
type chip struct {
	provider string
	out      func(rd [64]byte) []byte // nil: a report of SNP without a signature
	err      error
	aux      []byte
}

func (c *chip) Provider() string { return c.provider }
func (c *chip) Report(rd [64]byte) (tsm.Report, error) {
	if c.out != nil {
		return tsm.Report{Out: c.out(rd)}, c.err
	}
	out := make([]byte, snpdata.ReportSize)
	copy(out[0x50:], rd[:])
	return tsm.Report{Out: out, Aux: c.aux}, c.err
}

// options look nowhere outside the test.
func options(t *testing.T, c Processor) Options {
	return Options{Processor: c, Dev: t.TempDir()}
}

func TestDetect(t *testing.T) {
	touch := func(name string) func(*Options) {
		return func(o *Options) {
			if err := os.WriteFile(filepath.Join(o.Dev, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(p ...string) func(*Options) { return func(o *Options) { o.Platforms = p } }
	for _, tt := range []struct {
		name   string
		chip   Processor
		change func(*Options)
		found  []string
		says   string // of the error
	}{
		{"nothing", &chip{provider: "other_guest"}, nil, nil, ""},
		{"SNP", &chip{provider: tsm.ProviderSNP}, nil, []string{"snp"}, ""},
		{"SNP as asked", &chip{provider: tsm.ProviderSNP}, want("snp"), []string{"snp"}, ""},
		{"not SNP, which was asked for", &chip{provider: "other_guest"}, want("snp"), nil, "snp was asked for, and this machine has none"},
		{"an unknown kind", &chip{provider: tsm.ProviderSNP}, want("snp", "sgx"), nil, `"sgx" is no platform`},
		{"software", &chip{provider: tsm.ProviderSNP}, want("software"), nil, `"software" is no platform`},
		{"an empty name", &chip{provider: tsm.ProviderSNP}, want(""), nil, `"" is no platform`},
		{"a device without reports", &chip{provider: "other_guest"}, touch("sev-guest"), nil, "Linux 6.7"},
		{"another device without reports", &chip{provider: "other_guest"}, touch("tdx_guest"), nil, "Linux 6.7"},
		{"TDX", &chip{provider: tsm.ProviderTDX}, nil, []string{"tdx"}, ""},
		{"TDX for SNP", &chip{provider: tsm.ProviderTDX}, want("snp"), nil, "snp was asked for"},
		{"a TPM that is none", &chip{provider: tsm.ProviderTDX}, touch("tpmrm0"), nil, "tpm: "},
		{"a TPM that is none and isn't wanted", &chip{provider: tsm.ProviderTDX}, func(o *Options) { touch("tpmrm0")(o); want("tdx")(o) }, []string{"tdx"}, ""},
		{"GPUs without their library", &chip{provider: tsm.ProviderTDX}, func(o *Options) { touch("nvidiactl")(o); o.NVML = "/no/such/library.so" }, nil, "nvidia: NVML"},
		{"no GPUs, which were asked for", &chip{provider: tsm.ProviderTDX}, want("tdx", "nvidia"), nil, "nvidia was asked for"},
	} {
		o := options(t, tt.chip)
		if tt.change != nil {
			tt.change(&o)
		}
		m, err := Detect(o)
		if (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil && !slices.Equal(m.Platforms(), tt.found) {
			t.Errorf("%s: found %v", tt.name, m.Platforms())
		}
	}
}

func TestEvidence(t *testing.T) {
	c := &chip{provider: tsm.ProviderSNP}
	o := options(t, c)
	o.Collateral = t.TempDir()
	m, err := Detect(o)
	if err != nil {
		t.Fatal(err)
	}
	rd := [64]byte{1, 2, 3}
	e, err := m.Evidence(rd)
	if err != nil || len(e) != 1 || e[0].Platform != "snp" || !bytes.Contains(e[0].Data, rd[:]) {
		t.Errorf("%d pieces, %v", len(e), err)
	}
	// The folder is read each time.
	if err := os.Mkdir(filepath.Join(o.Collateral, "snp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Collateral, "snp", "ark.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := m.Evidence(rd); err == nil || len(e) != 0 || !strings.HasPrefix(err.Error(), "snp: ") {
		t.Errorf("with rubbish in the folder: %d pieces, %v", len(e), err)
	}
	m.collateral = ""
	c.aux = []byte("no table")
	if e, err := m.Evidence(rd); err == nil || len(e) != 0 {
		t.Errorf("with a broken table: %d pieces", len(e))
	}
	c.aux, c.err = nil, errors.New("asleep")
	if e, err := m.Evidence(rd); !errors.Is(err, c.err) || len(e) != 0 {
		t.Errorf("with a silent chip: %d pieces, %v", len(e), err)
	}
}

// What a TDX machine shows of itself is what a client wants to see.
func TestEvidenceOfTDX(t *testing.T) {
	rd := [64]byte{4, 5, 6}
	m := tdxtest.New(rd)
	o := options(t, &chip{provider: tsm.ProviderTDX, out: func([64]byte) []byte { return append(m.Quote(), make([]byte, 99)...) }})
	o.Collateral, o.EventLog = t.TempDir(), filepath.Join(o.Dev, "CCEL")
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range m.Files() {
		write(filepath.Join(o.Collateral, "tdx", strconv.Itoa(i)), f)
	}
	write(o.EventLog, append(bytes.Clone(m.Log), bytes.Repeat([]byte{0xff}, 1000)...))
	machine, err := Detect(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := machine.Evidence(rd)
	if err != nil {
		t.Fatal(err)
	}
	v := attest.Examine(e, &rd, attest.Policy{}, time.Unix(tdxtest.Now, 0), tdx.Platform{Roots: tdxtest.Roots()})
	if v.State != attest.StateGenuine {
		t.Errorf("%s %s: %+v", v.State, v.Failure, v.Checks)
	}
	// Firmware without a log is none to stop for, one whose log can't be read is.
	if err := os.Remove(o.EventLog); err != nil {
		t.Fatal(err)
	}
	if _, err := machine.Evidence(rd); err != nil {
		t.Error(err)
	}
	write(o.EventLog, []byte("no log"))
	if _, err := machine.Evidence(rd); err == nil {
		t.Error("a log that is none was taken")
	}
}

// All kinds stand in one bundle, in order; one that is silent is an error beside
// what the others said.
func TestEvidenceOfSeveral(t *testing.T) {
	silent := errors.New("silent")
	piece := func(platform string, n int, err error) source {
		return source{platform, func([64]byte, [][]byte) ([]attest.Evidence, error) {
			return slices.Repeat([]attest.Evidence{{Platform: platform, Data: []byte("x")}}, n), err
		}}
	}
	for _, tt := range []struct {
		name   string
		gpus   source
		pieces int
		fails  bool
	}{
		{"eight GPUs", piece("nvidia", 8, nil), 10, false},
		{"silent GPUs", piece("nvidia", 0, silent), 2, true},
		{"no GPUs, and no word of it", piece("nvidia", 0, nil), 2, true},
	} {
		m := &Machine{sources: []source{piece("tdx", 1, nil), tt.gpus, piece("tpm", 1, nil)}}
		e, err := m.Evidence([64]byte{})
		if len(e) != tt.pieces || (err != nil) != tt.fails || e[0].Platform != "tdx" || e[len(e)-1].Platform != "tpm" {
			t.Errorf("%s: %d pieces, %v", tt.name, len(e), err)
		}
	}
}
