// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"encoding/json"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
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

// The makers of these machines are fake, and the victims believe them: their
// roots are pinned where those of AMD, Intel and NVIDIA are pinned in a program.
// So a fake machine's evidence counts as real here, and the attacker who owns no
// machine has to get past everything else. An attack gets no key of a maker's.

// kind is a kind of machine.
type kind string

const (
	kindSNP kind = "snp"     // AMD SEV-SNP, Genoa
	kindTDX kind = "tdx"     // Intel TDX
	kindTPM kind = "tpm"     // a TPM with measured boot, which this policy takes for enough
	kindGPU kind = "snp+gpu" // AMD SEV-SNP with two GPUs of NVIDIA's
)

// changes is what is odd about a machine. The zero changes are none.
type changes struct {
	snp  func(*snptest.Machine)
	tdx  func(*tdxtest.Machine)
	tpm  func(*tpmtest.Machine)
	gpus func([]*nvidiatest.GPU) []*nvidiatest.GPU
}

const day = 24 * time.Hour

// product is the family of the SNP machines' chips.
const product = "Genoa"

// setClocks has the fake makers sign for the present: their packages stand at a
// moment of their own.
var setClocks = sync.OnceFunc(func() { tpmtest.Now = time.Now() })

func newSNP(rd [64]byte) *snptest.Machine {
	m := snptest.New(product, rd)
	now := time.Now()
	// The same in all of a run: signing a list takes a while.
	from := now.Truncate(day)
	m.List = &snptest.List{ThisUpdate: from.Add(-day).Unix(), NextUpdate: from.Add(30 * day).Unix()}
	return m
}

func newTDX(rd [64]byte) *tdxtest.Machine {
	m := tdxtest.New(rd)
	now := time.Now().UTC()
	stamp := func(t time.Time) string { return t.Format("2006-01-02T15:04:05Z") }
	m.TCBInfo.Issued, m.TCBInfo.Next = stamp(now.Add(-day)), stamp(now.Add(30*day))
	m.QEIdentity.Issued, m.QEIdentity.Next = stamp(now.Add(-day)), stamp(now.Add(30*day))
	for i := range m.Lists {
		m.Lists[i].ThisUpdate, m.Lists[i].NextUpdate = now.Add(-day).Unix(), now.Add(30*day).Unix()
	}
	return m
}

// evidence is what a machine of kind k signs for rd.
func (k kind) evidence(rd [64]byte, c changes) []bundle.Evidence {
	setClocks()
	switch k {
	case kindTDX:
		m := newTDX(rd)
		if c.tdx != nil {
			c.tdx(m)
		}
		return []bundle.Evidence{{Platform: tdx.Name, Data: m.Data()}}
	case kindTPM:
		m := tpmtest.New()
		if c.tpm != nil {
			c.tpm(m)
		}
		return []bundle.Evidence{{Platform: tpm.Name, Data: m.Evidence(bundle.Nonce(tpm.Name, rd))}}
	}
	m := newSNP(rd)
	if c.snp != nil {
		c.snp(m)
	}
	e := []bundle.Evidence{{Platform: snp.Name, Data: m.Data()}}
	if k == kindGPU {
		e = append(e, bundle.Evidence{Platform: nvidia.Name, Data: gpus(rd, c)})
	}
	return e
}

// gpus is what a machine's GPUs sign.
func gpus(rd [64]byte, c changes) []byte {
	v := nvidiatest.Default()
	all := []*nvidiatest.GPU{v.GPU("GH100"), v.GPU("GH100")}
	for _, g := range all {
		g.Nonce = bundle.Nonce(nvidia.Name, rd)
	}
	if c.gpus != nil {
		all = c.gpus(all)
	}
	from := time.Now().Add(-time.Hour)
	lists := [][]byte{v.CRL(all[0], nvidiatest.Root, from), v.CRL(all[0], nvidiatest.Model, from)}
	return nvidiatest.Evidence([][]byte{table()}, lists, all...)
}

// table holds the measurements that a GPU may have.
var table = sync.OnceValue(func() []byte {
	return must(nvidiatest.Table(nvidiatest.Default().GPU("GH100")).Encode())
})

// policy is what a person's client wants of machines of kind k: this software,
// this firmware or newer, these chips.
func (k kind) policy() attest.Policy {
	type rules = map[string]any
	p := attest.Policy{Platforms: map[string]json.RawMessage{}}
	pin := func(platform string, r rules) {
		p.Require = append(p.Require, platform)
		p.Platforms[platform] = must(json.Marshal(r))
	}
	switch k {
	case kindTDX:
		r := tdxtest.New([64]byte{}).Policy()
		r["require_log"] = true
		r["chip_ids"] = []string{hex.EncodeToString([]byte{4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})}
		pin(tdx.Name, r)
	case kindTPM:
		m := tpmtest.New()
		pin(tpm.Name, rules{
			"roots": []string{tpmtest.RootPin()}, "require_crl": true, "require_log": true, "require_secure_boot": true,
			"pcrs": []rules{{"bank": "sha256", "pcr": 4, "values": []string{hex.EncodeToString(m.Register(tpm.AlgSHA256, 4))}}},
		})
	default:
		m := snptest.New(product, [64]byte{})
		t := m.Report.Reported
		pin(snp.Name, rules{
			"measurements": []string{hex.EncodeToString(m.Report.Measurement[:])},
			"chip_ids":     []string{hex.EncodeToString(m.Report.ChipID[:])},
			"min_tcb":      rules{product: rules{"bootloader": t.Bootloader, "tee": t.TEE, "snp": t.SNP, "microcode": t.Microcode}},
		})
		if k == kindGPU {
			pin(nvidia.Name, rules{"gpus": 2, "require_crl": true, "tables": []string{nvidia.TableDigest(table())}})
		}
	}
	return p
}

// makers are the platforms with the fake makers' roots.
func makers() []attest.Platform {
	setClocks()
	return []attest.Platform{
		snp.Platform{Roots: snptest.New(product, [64]byte{}).AMD.Roots()}, tdx.Platform{Roots: tdxtest.Roots()},
		tpm.Platform{Roots: tpmtest.Roots()}, nvidia.Platform{Roots: nvidiatest.Default().Roots()}, software.Platform{},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
