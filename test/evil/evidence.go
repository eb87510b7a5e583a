// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tcg/tcgtest"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

// offer has the operator show one machine of its own, and no other.
func offer(make func(w *World) (rogue, error)) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		g, err := make(w)
		if err != nil {
			return err
		}
		l := w.enlist(g)
		w.do(func(o *Operator) { o.nodeList = func([]listed) []listed { return []listed{l} } })
		return nil
	}
}

// offerOdd shows a machine of kind k with changes: genuine hardware but for
// what a test changes, that signed the operator's own key.
func offerOdd(k kind, c changes) func(context.Context, *World) error {
	return offer(func(*World) (rogue, error) {
		return rogue{evidence: func(rd [64]byte) []bundle.Evidence { return k.evidence(rd, c) }}, nil
	})
}

// stolen is the newest proof of the honest machine.
func stolen(ctx context.Context, w *World) (bundle.Bundle, error) {
	nodes, err := w.honestList(ctx)
	if err != nil {
		return bundle.Bundle{}, err
	}
	return attest.ParseBundle(nodes[0].Bundles[0])
}

func evidenceAttacks() []*Attack {
	const (
		onlyThis = "Words go to a machine that runs exactly the published software on protected hardware."
		onlyKey  = "Only the machine that was checked has the key."
		onlyNow  = "A key lives for minutes, and its proof no longer than the key."
		real     = "The chip is real."
		whole    = "All hardware of the machine is proved, and of the same machine."
		noHost   = "Whoever owns the machine can't look into it."
	)
	const (
		gateway  = "the gateway"
		owner    = "the owner of a machine of this kind"
		holder   = "the owner of any computer"
		operator = "the gateway, with the owner of another genuine machine"
	)
	one := func(name, promise, attacker, failure string, k kind, arm func(context.Context, *World) error) *Attack {
		return &Attack{Class: classEvidence, Name: name, Promise: promise, Attacker: attacker, Failure: failure, Setup: setup{kind: k}, Arm: arm}
	}
	dated := func(k kind, from, to time.Duration) func(context.Context, *World) error {
		return offer(func(*World) (rogue, error) {
			return rogue{
				config: func(c *bundle.KeyConfig) {
					now := time.Now()
					c.NotBefore, c.NotAfter = now.Add(from).Unix(), now.Add(to).Unix()
				},
				evidence: func(rd [64]byte) []bundle.Evidence { return k.evidence(rd, changes{}) },
			}, nil
		})
	}
	oddSNP := func(f func(*snptest.Machine)) func(context.Context, *World) error {
		return offerOdd(kindSNP, changes{snp: f})
	}
	oddTDX := func(f func(*tdxtest.Machine)) func(context.Context, *World) error {
		return offerOdd(kindTDX, changes{tdx: f})
	}
	oddTPM := func(f func(*tpmtest.Machine)) func(context.Context, *World) error {
		return offerOdd(kindTPM, changes{tpm: f})
	}
	oddGPU := func(f func([]*nvidiatest.GPU) []*nvidiatest.GPU) func(context.Context, *World) error {
		return offerOdd(kindGPU, changes{gpus: f})
	}
	show := func(evidence func(rd [64]byte) []bundle.Evidence) func(context.Context, *World) error {
		return offer(func(*World) (rogue, error) { return rogue{evidence: evidence}, nil })
	}
	return []*Attack{
		one("replayed", onlyNow, gateway, attest.FailKeyExpired, kindSNP, dated(kindSNP, -time.Hour, -45*time.Minute)),
		one("meant-for-a-day", onlyNow, owner, attest.FailKeyLifetime, kindSNP, dated(kindSNP, 0, day)),
		one("made-ahead", onlyNow, owner, attest.FailKeyNotYetValid, kindSNP, dated(kindSNP, time.Hour, time.Hour+15*time.Minute)),
		one("other-key", onlyKey, gateway, attest.FailKeyNotBound, kindSNP, func(ctx context.Context, w *World) error {
			b, err := stolen(ctx, w)
			if err != nil {
				return err
			}
			return show(func([64]byte) []bundle.Evidence { return b.Evidence })(ctx, w)
		}),
		one("other-key-tdx", onlyKey, gateway, attest.FailKeyNotBound, kindTDX, func(ctx context.Context, w *World) error {
			b, err := stolen(ctx, w)
			if err != nil {
				return err
			}
			return show(func([64]byte) []bundle.Evidence { return b.Evidence })(ctx, w)
		}),
		one("key-swapped-in-the-description", onlyKey, gateway, attest.FailKeyNotBound, kindSNP, func(ctx context.Context, w *World) error {
			b, err := stolen(ctx, w)
			if err != nil {
				return err
			}
			honest, err := attest.ParseKeyConfig(b.KeyConfig)
			if err != nil {
				return err
			}
			return offer(func(*World) (rogue, error) {
				return rogue{
					config: func(c *bundle.KeyConfig) {
						key := c.PublicKey
						*c = honest
						c.PublicKey = key
					},
					evidence: func([64]byte) []bundle.Evidence { return b.Evidence },
				}, nil
			})(ctx, w)
		}),
		one("other-suite", onlyKey, owner, attest.FailKeySuite, kindSNP, offer(func(*World) (rogue, error) {
			return rogue{
				config:   func(c *bundle.KeyConfig) { c.Suite = "none" },
				evidence: func(rd [64]byte) []bundle.Evidence { return kindSNP.evidence(rd, changes{}) },
			}, nil
		})),
		one("re-signed", real, holder, attest.FailSignatureInvalid, kindSNP, oddSNP(func(m *snptest.Machine) {
			key := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
			m.AfterSigning = func(report []byte) { snptest.Sign(report, key) }
		})),
		one("changed-after-signing", real, gateway, attest.FailSignatureInvalid, kindSNP, oddSNP(func(m *snptest.Machine) {
			m.Report.Policy |= 1 << 19                                       // a debugger,
			m.AfterSigning = func(report []byte) { report[0x0a] &^= 1 << 3 } // hidden again
		})),
		one("own-certificates", real, holder, attest.FailChainUntrusted, kindSNP, oddSNP(func(m *snptest.Machine) { m.AMD.Other = true })),
		one("own-certificates-tdx", real, holder, attest.FailChainUntrusted, kindTDX, oddTDX(func(m *tdxtest.Machine) {
			for _, name := range []string{tdxtest.Root, tdxtest.CA, tdxtest.Signing} {
				m.Signer[name] = tdxtest.OtherRoot
			}
		})),
		one("revoked-signer", real, owner, attest.FailRevoked, kindSNP, oddSNP(func(m *snptest.Machine) { m.List.Revoked = []int64{0x10001} })),
		one("revoked-machine-tdx", real, owner, attest.FailRevoked, kindTDX, oddTDX(func(m *tdxtest.Machine) {
			m.Lists[0].Revoked = []int64{tdxtest.Serial(tdxtest.PCK)}
		})),
		one("revocation-list-left-out", real, gateway, attest.FailCollateralMissing, kindSNP, oddSNP(func(m *snptest.Machine) { m.List = nil })),
		one("old-revocation-list", real, gateway, attest.FailCollateralExpired, kindSNP, oddSNP(func(m *snptest.Machine) {
			m.List.ThisUpdate -= 60 * 86400
			m.List.NextUpdate -= 60 * 86400
		})),
		one("word-about-firmware-forged", real, holder, attest.FailSignatureInvalid, kindTDX, oddTDX(func(m *tdxtest.Machine) { m.Signer["tcbInfo"] = tdxtest.PCK })),
		one("other-platform", whole, operator, attest.FailPlatformMissing, kindSNP, show(func(rd [64]byte) []bundle.Evidence { return kindTDX.evidence(rd, changes{}) })),
		one("unknown-platform", real, holder, attest.FailPlatformUnknown, kindSNP, show(func(rd [64]byte) []bundle.Evidence {
			return append(kindSNP.evidence(rd, changes{}), bundle.Evidence{Platform: "abacus", Data: []byte("beads")})
		})),
		one("under-another-name", real, owner, attest.FailEvidenceMalformed, kindTDX, show(func(rd [64]byte) []bundle.Evidence {
			return []bundle.Evidence{{Platform: "tdx", Data: kindSNP.evidence(rd, changes{})[0].Data}}
		})),
		one("software-plainly", real, holder, attest.FailSoftwareRefused, kindSNP, show(softwareEvidence)),
		one("software-dressed-as-real", real, holder, attest.FailEvidenceMalformed, kindSNP, show(func(rd [64]byte) []bundle.Evidence {
			return []bundle.Evidence{{Platform: "snp", Data: softwareEvidence(rd)[0].Data}}
		})),
		one("software-behind-real", onlyKey, operator, attest.FailKeyNotBound, kindSNP, func(ctx context.Context, w *World) error {
			b, err := stolen(ctx, w)
			if err != nil {
				return err
			}
			return show(func(rd [64]byte) []bundle.Evidence { return append(b.Evidence, softwareEvidence(rd)...) })(ctx, w)
		}),
		one("debug-on", noHost, owner, attest.FailDebugEnabled, kindSNP, oddSNP(func(m *snptest.Machine) { m.Report.Policy |= 1 << 19 })),
		one("debug-on-tdx", noHost, owner, attest.FailDebugEnabled, kindTDX, oddTDX(func(m *tdxtest.Machine) { m.Body.Attributes[0] = 1 })),
		one("less-trusted-layer", noHost, owner, attest.FailPolicyMismatch, kindSNP, oddSNP(func(m *snptest.Machine) { m.Report.VMPL = 1 })),
		one("migratable", noHost, owner, attest.FailPolicyMismatch, kindTDX, oddTDX(func(m *tdxtest.Machine) { m.Body.Attributes[3] |= 0x20 })),
		one("tpm-alone", noHost, owner, attest.FailEvidenceIncomplete, kindSNP, func(ctx context.Context, w *World) error {
			// The person asks for no kind of hardware by name, only for this software.
			p := kindTPM.policy()
			w.victim.policy.Require, w.victim.policy.Platforms["tpm"] = nil, p.Platforms["tpm"]
			return show(func(rd [64]byte) []bundle.Evidence { return kindTPM.evidence(rd, changes{}) })(ctx, w)
		}),
		one("old-firmware", noHost, owner, attest.FailFirmwareOld, kindSNP, oddSNP(func(m *snptest.Machine) { m.Report.Reported.SNP--; m.Leaf.TCB.SNP-- })),
		one("firmware-said-to-be-newer", noHost, owner, attest.FailFirmwareOld, kindSNP, oddSNP(func(m *snptest.Machine) { m.Leaf.TCB.SNP-- })),
		one("old-firmware-tdx", noHost, owner, attest.FailFirmwareOld, kindTDX, oddTDX(func(m *tdxtest.Machine) { m.SVN[1] = 5 })),
		one("wrong-chip", whole, owner, attest.FailPolicyMismatch, kindSNP, oddSNP(func(m *snptest.Machine) {
			m.Report.ChipID[0] ^= 1
			m.Leaf.HWID = m.Report.ChipID[:]
		})),
		one("report-of-another-chip", real, owner, attest.FailChainUntrusted, kindSNP, oddSNP(func(m *snptest.Machine) { m.Report.ChipID[0] ^= 1 })),
		one("other-software", onlyThis, owner, attest.FailSoftwareMismatch, kindSNP, oddSNP(func(m *snptest.Machine) { m.Report.Measurement[47] ^= 1 })),
		one("other-command-line", onlyThis, owner, attest.FailSoftwareMismatch, kindTDX, oddTDX(func(m *tdxtest.Machine) { m.Body.RTMR[2][0] ^= 1 })),
		one("log-of-another-start", onlyThis, owner, attest.FailSoftwareMismatch, kindTDX, oddTDX(func(m *tdxtest.Machine) {
			m.Log = tcgtest.New(tcg.SHA384).Add(1, tcg.EvSeparator, []byte("?")).Bytes()
		})),
		one("event-swapped-under-its-digest", onlyThis, owner, attest.FailSoftwareMismatch, kindTPM, oddTPM(func(m *tpmtest.Machine) {
			// Secure Boot was off: that is what was measured. The log says that it was on.
			off := tpmtest.New()
			off.Events[1].Data = tpmtest.Variable("SecureBoot", []byte{0})
			m.Events = off.Events
			lie := tpmtest.New()
			lie.Events[1].Data, lie.Events[1].Digest = tpmtest.Variable("SecureBoot", []byte{1}), tpmtest.Variable("SecureBoot", []byte{0})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = lie.Log() }
		})),
		one("key-that-signs-anything", real, owner, attest.FailPolicyMismatch, kindTPM, oddTPM(func(m *tpmtest.Machine) {
			m.AK.Attributes &^= tpm.Restricted
			m.Use(m.AK)
		})),
		one("certificate-for-another-key", real, owner, attest.FailChainUntrusted, kindTPM, oddTPM(func(m *tpmtest.Machine) {
			m.Leaf = func(c *x509.Certificate) {}
			m.Certified = tpmtest.P256B().Public()
		})),
		one("gpu-of-another-machine", whole, operator, attest.FailKeyNotBound, kindGPU, oddGPU(func(g []*nvidiatest.GPU) []*nvidiatest.GPU {
			g[1].Nonce = [32]byte{1}
			return g
		})),
		one("gpu-missing", whole, owner, attest.FailPolicyMismatch, kindGPU, oddGPU(func(g []*nvidiatest.GPU) []*nvidiatest.GPU { return g[:1] })),
		one("gpu-twice", whole, owner, attest.FailPolicyMismatch, kindGPU, oddGPU(func(g []*nvidiatest.GPU) []*nvidiatest.GPU { g[1] = g[0]; return g })),
		one("gpu-with-other-firmware", onlyThis, owner, attest.FailSoftwareMismatch, kindGPU, oddGPU(func(g []*nvidiatest.GPU) []*nvidiatest.GPU {
			m := bytes.Repeat([]byte{9}, len(g[1].Measurements[3]))
			g[1].Measurements = append([][]byte{}, g[1].Measurements...)
			g[1].Measurements[3] = m
			return g
		})),
		one("gpu-of-somebody-else", real, holder, attest.FailChainUntrusted, kindGPU, oddGPU(func(g []*nvidiatest.GPU) []*nvidiatest.GPU {
			other := nvidiatest.New().GPU("GH100")
			other.Nonce = g[1].Nonce
			g[1] = other
			return g
		})),
		one("no-gpu-at-all", whole, owner, attest.FailPlatformMissing, kindGPU, show(func(rd [64]byte) []bundle.Evidence { return kindSNP.evidence(rd, changes{}) })),
		one("bytes-behind-the-proof", onlyKey, gateway, attest.FailBundleMalformed, kindSNP, offer(func(*World) (rogue, error) {
			return rogue{
				evidence: func(rd [64]byte) []bundle.Evidence { return kindSNP.evidence(rd, changes{}) },
				bytes:    func(doc []byte) []byte { return append(doc, ' ') },
			}, nil
		})),
	}
}
