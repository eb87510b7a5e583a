// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package hardware finds what in this machine can vouch for a node, and asks all
// of it at once: the processor of a confidential machine, its TPM, its GPUs.
//
// What is found is used, and what is used must answer: a kind of hardware that
// falls silent means no evidence, never evidence without it. A machine whose
// hardware can't be asked at all is an error, so that nothing else can take its
// place unseen.
package hardware

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/snp/snpdata"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/node/hardware/nvml"
	"github.com/sotto-chat/sotto/node/hardware/tpm"
	"github.com/sotto-chat/sotto/node/hardware/tsm"
)

// Options say where to look. The zero Options are a real machine's.
type Options struct {
	// Platforms are exactly those to use; one that isn't there is an error. Nil
	// means all that there are.
	Platforms []string
	// Collateral is the folder that package internal/collateral reads, anew for
	// each evidence. "" means none.
	Collateral string

	Processor Processor // nil means the one that the kernel knows, if any
	Dev       string    // folder of devices; "" means /dev
	EventLog  string    // a TDX machine's log; "" means eventLog
	TPM       tpm.Config
	NVML      string // NVIDIA's library; "" means nvml.Library
}

// eventLog is where the kernel shows what firmware measured (ACPI's table CCEL).
const eventLog = "/sys/firmware/acpi/tables/data/CCEL"

// Processor signs for the whole machine: a [tsm.TSM].
type Processor interface {
	Provider() string
	Report(reportData [64]byte) (tsm.Report, error)
}

// Machine is the hardware that was found.
type Machine struct {
	collateral string
	sources    []source
}

// source is one kind of hardware.
type source struct {
	platform string
	evidence func(reportData [64]byte, files [][]byte) ([]bundle.Evidence, error)
}

// known are the platforms, in the order in which they stand in a bundle, each
// with how to look for it. Looking returns nil where there is none.
var known = []struct {
	platform string
	look     func(Options) (*source, error)
}{
	{"snp", func(o Options) (*source, error) { return processor(o, "snp", tsm.ProviderSNP, "sev-guest", snp) }},
	{"tdx", func(o Options) (*source, error) { return processor(o, "tdx", tsm.ProviderTDX, "tdx_guest", o.tdx) }},
	{"tpm", lookTPM},
	{"nvidia", lookNVIDIA},
}

// Known names the platforms that this build can use.
func Known() (names []string) {
	for _, k := range known {
		names = append(names, k.platform)
	}
	return names
}

// Detect looks for hardware. A Machine without any is possible, see
// [Machine.Platforms].
func Detect(o Options) (*Machine, error) {
	if o.Dev == "" {
		o.Dev = "/dev"
	}
	for _, p := range o.Platforms {
		if !slices.Contains(Known(), p) {
			return nil, fmt.Errorf("%q is no platform that this program knows (%s)", p, strings.Join(Known(), ", "))
		}
	}
	m := &Machine{collateral: o.Collateral}
	for _, k := range known {
		if o.Platforms != nil && !slices.Contains(o.Platforms, k.platform) {
			continue
		}
		s, err := k.look(o)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", k.platform, err)
		case s != nil:
			m.sources = append(m.sources, *s)
		case o.Platforms != nil:
			return nil, fmt.Errorf("%s was asked for, and this machine has none", k.platform)
		}
	}
	return m, nil
}

// Platforms names what was found, in the order of a bundle.
func (m *Machine) Platforms() (names []string) {
	for _, s := range m.sources {
		names = append(names, s.platform)
	}
	return names
}

// Evidence has all hardware vouch for report data. Beside an error it returns
// what did, which must not be used: an error is about the machine as a whole.
func (m *Machine) Evidence(reportData [64]byte) (all []bundle.Evidence, err error) {
	for _, s := range m.sources {
		found, e := collateral.Read(m.collateral, s.platform)
		if e == nil {
			var files [][]byte
			for _, f := range found {
				files = append(files, f.Data)
			}
			var pieces []bundle.Evidence
			pieces, e = s.evidence(reportData, files)
			all = append(all, pieces...)
			if e == nil && len(pieces) == 0 {
				e = errors.New("there is no evidence")
			}
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.platform, e))
		}
	}
	return all, err
}

// processor looks for a processor that signs for the whole machine.
func processor(o Options, platform, provider, device string, pack func(tsm.Report, [][]byte) ([]byte, error)) (*source, error) {
	t := o.Processor
	if t == nil {
		found, err := tsm.Open("")
		if err != nil {
			return nil, err
		}
		if found != nil { // not a typed nil in the interface
			t = found
		}
	}
	if t == nil || t.Provider() != provider {
		if _, err := os.Stat(filepath.Join(o.Dev, device)); err == nil {
			return nil, fmt.Errorf("the kernel has the device %s and doesn't offer its reports in %s: it takes Linux 6.7 or newer with configfs mounted", device, tsm.Root)
		}
		return nil, nil
	}
	return &source{platform, func(reportData [64]byte, files [][]byte) ([]bundle.Evidence, error) {
		r, err := t.Report(reportData)
		if err != nil {
			return nil, err
		}
		data, err := pack(r, files)
		if err != nil {
			return nil, err
		}
		return []bundle.Evidence{{Platform: platform, Data: data}}, nil
	}}, nil
}

// lookTPM looks for the TPM's device, behind the kernel's resource manager.
func lookTPM(o Options) (*source, error) {
	if o.TPM.Device == "" {
		o.TPM.Device = filepath.Join(o.Dev, "tpmrm0")
	}
	if _, err := os.Stat(o.TPM.Device); o.TPM.Conn == nil && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	t, err := tpm.Open(o.TPM)
	if err != nil {
		return nil, err
	}
	return &source{"tpm", func(reportData [64]byte, files [][]byte) ([]bundle.Evidence, error) {
		return t.Evidence(reportData, files...)
	}}, nil
}

// lookNVIDIA looks for the driver's device. GPUs without confidential mode are an
// error too: a person who has such GPUs and wants none of them says so.
func lookNVIDIA(o Options) (*source, error) {
	if _, err := os.Stat(filepath.Join(o.Dev, "nvidiactl")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	g, err := nvml.Open(o.NVML)
	if err != nil {
		return nil, err
	}
	return &source{"nvidia", func(reportData [64]byte, files [][]byte) ([]bundle.Evidence, error) {
		return g.Evidence(reportData, files...)
	}}, nil
}

// tdx puts Intel's documents and the log of the start beside the quote.
func (o Options) tdx(r tsm.Report, files [][]byte) ([]byte, error) {
	log, err := collateral.ReadFile(cmp.Or(o.EventLog, eventLog), 1<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // some firmware keeps none
		return nil, err
	}
	return tdxdata.FromQuote(r.Out, files, log)
}

// snp puts the host's certificates beside the operator's: either may have what
// the other lacks.
func snp(r tsm.Report, files [][]byte) ([]byte, error) {
	certs, err := snpdata.ParseCertTable(r.Aux)
	if err != nil {
		return nil, err
	}
	return snpdata.FromReport(r.Out, append(certs, files...))
}
