// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

// Package nvml asks the GPUs of a machine for evidence, through the library that
// comes with NVIDIA's driver (NVML). It is loaded when a node starts, so that the
// program needs neither a C compiler to be built nor a GPU to run.
//
// A program that links this package is linked dynamically, to the C library alone.
//
// Layouts and numbers are those of nvml.h.
package nvml

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"

	"github.com/ebitengine/purego"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/pile"
	"github.com/sotto-chat/sotto/attest/section/write"
)

// Library is what [Open] loads when it is given no path.
const Library = "libnvidia-ml.so.1"

// The form of the evidence (spec/evidence-nvidia.md), as package attest/nvidia has
// it, which judges and so has no place in a machine; a test compares the two.
const (
	platform = "nvidia"

	kindReport = 1
	kindChain  = 2
	kindTable  = 3
	kindCRL    = 4

	maxGPUs     = 16
	nonceSize   = 32
	leastReport = 37 + 8 + nonceSize + 2 + 96 // the question, and an answer without any measurement
	tableMagic  = "sotto/1 nvidia table\x00"
)

// Sizes of buffers in nvml.h.
const (
	reportSize = 0x2000
	chainSize  = 0x1400
)

// settings is nvmlSystemConfComputeSettings_v1_t.
type settings struct {
	version      uint32 // its size, and its number in the uppermost byte
	environment  uint32
	ccFeature    uint32 // 1: confidential mode is on
	devToolsMode uint32 // 0: developers' tools are off
	multiGPUMode uint32 // 1: protected PCIe, where ccFeature stays 0
}

// certificate is nvmlConfComputeGpuCertificate_t.
type certificate struct {
	certChainSize        uint32
	attestationChainSize uint32
	certChain            [0x1000]byte
	attestationChain     [chainSize]byte
}

// report is nvmlConfComputeGpuAttestationReport_t.
type report struct {
	isCECPresent  uint32
	reportSize    uint32
	cecReportSize uint32
	nonce         [nonceSize]byte
	report        [reportSize]byte
	cecReport     [0x1000]byte
}

// GPUs are the GPUs of this machine. They may be used by several goroutines.
type GPUs struct {
	mu      sync.Mutex
	library uintptr
	devices []uintptr

	initialize, shutdown func() int32
	count                func(*uint32) int32
	handle               func(uint32, *uintptr) int32
	settings             func(*settings) int32
	report               func(uintptr, *report) int32
	certificate          func(uintptr, *certificate) int32
}

// Open loads NVML from path, or with "" from where the driver put it, and finds
// the GPUs. It is an error if there is no GPU, if confidential mode is off or if
// developers' tools are on: their evidence would be refused by every client.
func Open(path string) (*GPUs, error) {
	if path == "" {
		path = Library
	}
	library, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("NVML: %w", err)
	}
	g := &GPUs{library: library}
	if err := g.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("NVML: %w", err), purego.Dlclose(library))
	}
	return g, nil
}

func (g *GPUs) open() error {
	for name, f := range map[string]any{
		"nvmlInit_v2":                                  &g.initialize,
		"nvmlShutdown":                                 &g.shutdown,
		"nvmlDeviceGetCount_v2":                        &g.count,
		"nvmlDeviceGetHandleByIndex_v2":                &g.handle,
		"nvmlSystemGetConfComputeSettings":             &g.settings,
		"nvmlDeviceGetConfComputeGpuAttestationReport": &g.report,
		"nvmlDeviceGetConfComputeGpuCertificate":       &g.certificate,
	} {
		symbol, err := purego.Dlsym(g.library, name)
		if err != nil {
			return fmt.Errorf("the driver is too old for confidential GPUs: %w", err)
		}
		purego.RegisterFunc(f, symbol)
	}
	if err := result("nvmlInit", g.initialize()); err != nil {
		return err
	}
	err := g.find()
	if err != nil {
		g.shutdown()
	}
	return err
}

func (g *GPUs) find() error {
	if err := g.confidential(); err != nil {
		return err
	}
	var n uint32
	if err := result("nvmlDeviceGetCount", g.count(&n)); err != nil {
		return err
	}
	if n == 0 || n > maxGPUs {
		return fmt.Errorf("there are %d GPUs, and 1 to %d can vouch for a machine", n, maxGPUs)
	}
	g.devices = make([]uintptr, n)
	for i := range g.devices {
		if err := result("nvmlDeviceGetHandleByIndex", g.handle(uint32(i), &g.devices[i])); err != nil {
			return err
		}
	}
	return nil
}

// confidential checks the modes as the driver tells them. A client doesn't take
// its word: it sees them in the GPUs' measurements.
func (g *GPUs) confidential() error {
	s := settings{version: 20 | 1<<24}
	if err := result("nvmlSystemGetConfComputeSettings", g.settings(&s)); err != nil {
		return err
	}
	switch {
	case s.ccFeature != 1 && s.multiGPUMode != 1:
		return errors.New("the GPUs' confidential mode is off")
	case s.devToolsMode != 0:
		return errors.New("the GPUs' developers' tools are on")
	}
	return nil
}

// Evidence asks every GPU to vouch for report data; a GPU that doesn't is an
// error. Collateral is tables of measurements and revocation lists, in any order.
func (g *GPUs) Evidence(reportData [64]byte, collateral ...[]byte) ([]bundle.Evidence, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.confidential(); err != nil {
		return nil, err
	}
	nonce := bundle.Nonce(platform, reportData)
	var data, chains []byte
	for i, device := range g.devices {
		r, c := report{nonce: nonce}, certificate{}
		if err := result("nvmlDeviceGetConfComputeGpuAttestationReport", g.report(device, &r)); err != nil {
			return nil, fmt.Errorf("GPU %d: %w", i+1, err)
		}
		if err := result("nvmlDeviceGetConfComputeGpuCertificate", g.certificate(device, &c)); err != nil {
			return nil, fmt.Errorf("GPU %d: %w", i+1, err)
		}
		if r.reportSize > reportSize || c.attestationChainSize > chainSize {
			return nil, fmt.Errorf("GPU %d: the driver names sizes that its buffers don't have", i+1)
		}
		// A report begins with the request that it answers: four bytes and the nonce.
		one := r.report[:r.reportSize]
		if len(one) < leastReport || !bytes.Equal(one[4:4+nonceSize], nonce[:]) {
			return nil, fmt.Errorf("GPU %d: the report doesn't answer what was asked", i+1)
		}
		chain := fromPEM(c.attestationChain[:c.attestationChainSize])
		if chain == nil {
			return nil, fmt.Errorf("GPU %d: there is no chain of certificates", i+1)
		}
		data = write.Append(data, kindReport, one)
		chains = write.Append(chains, kindChain, chain)
	}
	data = append(data, chains...)
	var crls []byte
	for _, b := range collateral {
		found, _ := pile.Open(b)
		switch {
		case bytes.HasPrefix(b, []byte(tableMagic)):
			data = write.Append(data, kindTable, b)
		case len(found) == 1 && found[0].List: // and nothing else that begins as a list does
			crls = write.Append(crls, kindCRL, found[0].Raw)
		default:
			return nil, errors.New("the collateral holds something that is neither a table nor a revocation list")
		}
	}
	return []bundle.Evidence{{Platform: platform, Data: append(data, crls...)}}, nil
}

// fromPEM returns certificates in DER, one after the other, as they are in the
// evidence; nil where there are none. DER stays as it is.
func fromPEM(b []byte) (der []byte) {
	if len(b) > 0 && b[0] == 0x30 {
		return b
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		der = append(der, block.Bytes...)
	}
	return der
}

func result(call string, code int32) error {
	if code != 0 {
		return fmt.Errorf("%s failed with code %d", call, code)
	}
	return nil
}
