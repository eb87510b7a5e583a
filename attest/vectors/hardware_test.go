// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vectors_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/nvidia/nvidiatest"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/snp/snptest"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tcg/tcgtest"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
	"github.com/sotto-chat/sotto/attest/vectors"
)

// rules is a platform's part of a policy.
type rules = map[string]any

// piece is evidence of one platform.
type piece struct {
	platform string
	data     []byte
	roots    []cert.Root
	rules    rules
}

// hardware makes a vector of pieces of evidence, for the key of config.
func hardware(name, comment, state, failure string, pieces ...piece) vectors.Vector {
	v := vectors.Vector{Name: name, Comment: comment, Time: made + 60, State: state, Failure: failure,
		Policy: attest.Policy{Platforms: map[string]json.RawMessage{}}, Roots: map[string][]vectors.Root{}}
	b := attest.Bundle{V: 1, KeyConfig: exact()}
	for _, p := range pieces {
		b.Evidence = append(b.Evidence, attest.Evidence{Platform: p.platform, Data: p.data})
		if p.rules != nil {
			v.Policy.Platforms[p.platform] = must(json.Marshal(p.rules))
		}
		for _, r := range p.roots {
			v.Roots[p.platform] = append(v.Roots[p.platform], vectors.Root{Name: r.Name, Key: hex.EncodeToString(r.Key[:])})
		}
	}
	v.Bundle = must(b.Encode())
	return v
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func exact() []byte { return must(config().Encode()) }

func claim() attest.Claim {
	return attest.Claim{ReportData: attest.ReportData(exact()), Config: config()}
}

// list is one value as rules have it.
func list(b []byte) []string { return []string{hex.EncodeToString(b)} }

// snpPiece is a machine of AMD's, pinned by its measurement. change may be nil;
// so may rules, which then add nothing.
func snpPiece(product string, change func(*snptest.Machine), add rules) piece {
	m := snptest.New(product, claim().ReportData)
	r := rules{"measurements": list(m.Report.Measurement[:])}
	roots := m.AMD.Roots()
	for k, v := range add {
		r[k] = v
	}
	if change != nil {
		change(m)
	}
	return piece{snp.Name, m.Data(), roots, r}
}

func snpCases() []vectors.Vector {
	floors := rules{"min_tcb": rules{"Genoa": rules{"bootloader": 4, "tee": 1, "snp": 22, "microcode": 213}}}
	one := func(name, comment, state, failure, product string, change func(*snptest.Machine), add rules) vectors.Vector {
		return hardware(name, comment, state, failure, snpPiece(product, change, add))
	}
	unpinned := hardware("snp-nothing-pinned", "A genuine machine, and a client that has no idea what it should run.",
		"failed", "evidence_incomplete", snpPiece("Genoa", nil, nil))
	unpinned.Policy.Platforms = nil
	truncated := one("snp-truncated", "The last byte is missing.", "failed", "evidence_malformed", "Genoa", nil, nil)
	truncated.Bundle = truncate(truncated.Bundle)
	makers := hardware("snp-makers-roots", "The same chip judged by AMD's own roots, which know nothing of it.",
		"failed", "chain_untrusted", snpPiece("Genoa", nil, nil))
	makers.Roots = nil
	return []vectors.Vector{
		one("snp-milan", "Report version 2, chip key (VCEK).", "verified", "", "Milan", nil, nil),
		one("snp-genoa", "Report version 3, with floors for the firmware.", "verified", "", "Genoa", nil, floors),
		one("snp-turin", "Report version 5.", "verified", "", "Turin", nil, nil),
		one("snp-vlek", "A cloud operator's key (VLEK), which this client accepts.", "verified", "", "Genoa",
			func(m *snptest.Machine) { m.UseVLEK("example.com") }, rules{"allow_vlek": true}),
		one("snp-vlek-refused", "The same, and a client that was told nothing of such keys.", "failed", "policy_mismatch", "Genoa",
			func(m *snptest.Machine) { m.UseVLEK("example.com") }, nil),
		unpinned, makers,
		one("snp-other-software", "Genuine hardware that runs something else.", "failed", "software_mismatch", "Milan",
			func(m *snptest.Machine) { m.Report.Measurement[47] ^= 1 }, nil),
		one("snp-debug", "The host can read the machine's memory.", "failed", "debug_enabled", "Genoa",
			func(m *snptest.Machine) { m.Report.Policy |= 1 << 19 }, nil),
		one("snp-changed-after-signing", "One bit of the report flipped.", "failed", "signature_invalid", "Turin",
			func(m *snptest.Machine) { m.AfterSigning = func(b []byte) { b[0x90] ^= 1 } }, nil),
		one("snp-other-maker", "The right names on all certificates, and other keys.", "failed", "chain_untrusted", "Genoa",
			func(m *snptest.Machine) { m.AMD.Other = true }, nil),
		one("snp-signing-key-revoked", "AMD took back the key that signed the chip's certificate.", "failed", "revoked", "Genoa",
			func(m *snptest.Machine) { m.List.Revoked = []int64{0x10001} }, nil),
		one("snp-no-crl", "No revocation list in the evidence.", "unknown", "collateral_missing", "Genoa",
			func(m *snptest.Machine) { m.List = nil }, nil),
		one("snp-crl-ended", "A revocation list that is too old.", "unknown", "collateral_expired", "Genoa",
			func(m *snptest.Machine) { m.List.NextUpdate = made }, nil),
		one("snp-firmware-old", "Firmware below the floor, truly reported.", "failed", "firmware_old", "Genoa",
			func(m *snptest.Machine) { m.Report.Reported.SNP--; m.Leaf.TCB.SNP-- }, floors),
		one("snp-firmware-not-certified", "The report claims a newer firmware than the chip's certificate.", "failed", "firmware_old", "Genoa",
			func(m *snptest.Machine) { m.Leaf.TCB.SNP-- }, nil),
		one("snp-vmpl", "A less privileged part of the machine asked for the report.", "failed", "policy_mismatch", "Genoa",
			func(m *snptest.Machine) { m.Report.VMPL = 1 }, nil),
		one("snp-other-key", "The report of another key.", "failed", "key_not_bound", "Genoa",
			func(m *snptest.Machine) { m.Report.ReportData[0] ^= 1 }, nil),
		truncated,
		one("snp-policy-malformed", "A rule that nobody knows.", "unknown", "policy_malformed", "Genoa", nil, rules{"measurement": "aa"}),
	}
}

// tdxPiece is a machine of Intel's, pinned by all its registers.
func tdxPiece(change func(*tdxtest.Machine), add rules) piece {
	m := tdxtest.New(claim().ReportData)
	r := m.Policy()
	for k, v := range add {
		r[k] = v
	}
	if change != nil {
		change(m)
	}
	return piece{tdx.Name, m.Data(), tdxtest.Roots(), r}
}

func tdxCases() []vectors.Vector {
	one := func(name, comment, state, failure string, change func(*tdxtest.Machine), add rules) vectors.Vector {
		return hardware(name, comment, state, failure, tdxPiece(change, add))
	}
	half := tdxPiece(nil, nil)
	delete(half.rules, "rtmr3")
	unpinned := hardware("tdx-nothing-pinned", "A genuine machine, and a client that has no idea what it should run.",
		"failed", "evidence_incomplete", tdxPiece(nil, nil))
	unpinned.Policy.Platforms = nil
	return []vectors.Vector{
		one("tdx-v4", "Quote version 4, with a log.", "verified", "", nil, nil),
		one("tdx-v5", "Quote version 5 with the body of TDX 1.0.", "verified", "", func(m *tdxtest.Machine) { m.Version = 5 }, nil),
		one("tdx-v5-td15", "Quote version 5 with the body of TDX 1.5.", "verified", "",
			func(m *tdxtest.Machine) { m.Version, m.TD15 = 5, true }, rules{"require_td15": true}),
		one("tdx-out-of-date-accepted", "Old firmware, and a client that accepts it.", "verified", "",
			func(m *tdxtest.Machine) { m.SVN[1] = 5 }, rules{"tcb_statuses": []string{"UpToDate", "OutOfDate"}}),
		one("tdx-out-of-date", "Old firmware.", "failed", "firmware_old", func(m *tdxtest.Machine) { m.SVN[1] = 5 }, nil),
		one("tdx-level-revoked", "Intel took back this level of firmware.", "failed", "revoked",
			func(m *tdxtest.Machine) { m.TCBInfo.Levels[0].Status = "Revoked" }, nil),
		unpinned,
		hardware("tdx-half-pinned", "A client that pins four of five registers: what the fifth leaves open, anybody can fill.",
			"failed", "evidence_incomplete", half),
		one("tdx-other-software", "Genuine hardware that was started otherwise.", "failed", "software_mismatch", nil,
			rules{"rtmr2": []string{strings.Repeat("11", 48)}}),
		one("tdx-log-of-another-start", "A log that doesn't come to the registers.", "failed", "software_mismatch",
			func(m *tdxtest.Machine) { m.Log = tcgtest.New(tcg.SHA384).Add(1, tcg.EvSeparator, []byte("?")).Bytes() }, nil),
		one("tdx-debug", "The host can read the machine's memory.", "failed", "debug_enabled",
			func(m *tdxtest.Machine) { m.Body.Attributes[0] = 1 }, nil),
		one("tdx-migratable", "The host can move the machine.", "failed", "policy_mismatch",
			func(m *tdxtest.Machine) { m.Body.Attributes[3] |= 0x20 }, nil),
		one("tdx-changed-after-signing", "One bit of the quote flipped.", "failed", "signature_invalid",
			func(m *tdxtest.Machine) {
				m.Bytes = func(name string, b []byte) []byte {
					if name == "quote" {
						b = bytes.Clone(b)
						b[190] ^= 1
					}
					return b
				}
			}, nil),
		one("tdx-other-root", "The right names on all certificates, and another root.", "failed", "chain_untrusted",
			func(m *tdxtest.Machine) {
				for _, name := range []string{tdxtest.Root, tdxtest.CA, tdxtest.Signing} {
					m.Signer[name] = tdxtest.OtherRoot
				}
			}, nil),
		one("tdx-machine-revoked", "Intel took back the machine's key.", "failed", "revoked",
			func(m *tdxtest.Machine) { m.Lists[0].Revoked = []int64{tdxtest.Serial(tdxtest.PCK)} }, nil),
		one("tdx-no-crl", "The list of the root is missing.", "unknown", "collateral_missing",
			func(m *tdxtest.Machine) { m.Lists = m.Lists[:1] }, nil),
		one("tdx-tcb-info-ended", "Intel's word about the firmware is too old.", "unknown", "collateral_expired",
			func(m *tdxtest.Machine) { m.TCBInfo.Next = "2027-01-15T08:00:00Z" }, nil),
		one("tdx-tcb-info-forged", "The document about the firmware is signed by a machine's key.", "failed", "signature_invalid",
			func(m *tdxtest.Machine) { m.Signer["tcbInfo"] = tdxtest.PCK }, nil),
		one("tdx-other-key", "The quote of another key.", "failed", "key_not_bound",
			func(m *tdxtest.Machine) { m.Body.ReportData[63] ^= 1 }, nil),
	}
}

// tpmPiece is a machine with a TPM, pinned by what register 4 holds.
func tpmPiece(change func(*tpmtest.Machine), add rules) piece {
	m := tpmtest.New()
	r := rules{
		"roots": []string{tpmtest.RootPin()},
		"pcrs":  []rules{{"bank": "sha256", "pcr": 4, "values": list(m.Register(tpm.AlgSHA256, 4))}},
	}
	for k, v := range add {
		r[k] = v
	}
	if change != nil {
		change(m)
	}
	return piece{tpm.Name, m.Evidence(claim().Nonce(tpm.Name)), nil, r}
}

func tpmCases() []vectors.Vector {
	one := func(name, comment, state, failure string, change func(*tpmtest.Machine), add rules) vectors.Vector {
		v := hardware(name, comment, state, failure, tpmPiece(change, add))
		v.Policy.Require = []string{tpm.Name} // alone it is enough for who says so
		return v
	}
	other := func(change func(*tpmtest.Machine)) func(*tpmtest.Machine) {
		return func(m *tpmtest.Machine) {
			o := tpmtest.New()
			change(o)
			m.EditParts = func(p *tpmdata.Parts) { p.Log = o.Log() }
		}
	}
	return []vectors.Vector{
		one("tpm-p256", "A signing key on P-256, with a log and Secure Boot.", "verified", "", nil,
			rules{"require_crl": true, "require_log": true, "require_secure_boot": true}),
		one("tpm-rsa", "A signing key of RSA.", "verified", "",
			func(m *tpmtest.Machine) { m.Use(tpmtest.AttestationKey(tpmtest.RSA())) }, nil),
		one("tpm-no-roots", "A client that trusts no authority.", "failed", "chain_untrusted", nil, rules{"roots": []string{}}),
		one("tpm-other-software", "It started something else.", "failed", "software_mismatch",
			func(m *tpmtest.Machine) { m.Events[5].Digest = []byte("another image") }, nil),
		one("tpm-log-of-another-start", "A log that doesn't come to the registers.", "failed", "software_mismatch",
			other(func(m *tpmtest.Machine) { m.Events[5].Digest = []byte("another image") }), nil),
		one("tpm-log-missing", "A client that asks for the log.", "unknown", "collateral_missing",
			func(m *tpmtest.Machine) { m.WithoutLog = true }, rules{"require_log": true}),
		one("tpm-changed-after-signing", "The clock was set after the TPM had signed.", "failed", "signature_invalid",
			func(m *tpmtest.Machine) {
				m.AfterSign = func(q, s []byte) ([]byte, []byte) { q[2+4+2+34+2+32]++; return q, s }
			}, nil),
		one("tpm-key-not-restricted", "A key that signs whatever it is given.", "failed", "policy_mismatch",
			func(m *tpmtest.Machine) { m.AK.Attributes &^= tpm.Restricted; m.Use(m.AK) }, nil),
		one("tpm-revoked", "The authority took back the key's certificate.", "failed", "revoked",
			func(m *tpmtest.Machine) { m.Revoked = []*big.Int{big.NewInt(3)} }, nil),
		one("tpm-firmware-old", "Firmware below the floor.", "failed", "firmware_old", nil, rules{"min_firmware": "2020010100060025"}),
		one("tpm-certificate-ended", "The key's certificate has ended.", "unknown", "collateral_expired",
			func(m *tpmtest.Machine) {
				m.Leaf = func(c *x509.Certificate) { c.NotAfter = time.Unix(made-1, 0) }
			}, nil),
		func() vectors.Vector {
			m := tpmtest.New()
			p := tpmPiece(nil, nil)
			p.data = m.Evidence([32]byte{1})
			return hardware("tpm-other-key", "A quote for another key.", "failed", "key_not_bound", p)
		}(),
	}
}

// nvidiaPiece is a machine's GPUs. They prove nothing of the software beside them.
func nvidiaPiece(names []string, change func([]*nvidiatest.GPU), add rules) piece {
	v := nvidiatest.Default()
	var gpus []*nvidiatest.GPU
	for _, name := range names {
		g := v.GPU(name)
		g.Nonce = claim().Nonce(nvidia.Name)
		gpus = append(gpus, g)
	}
	table := must(nvidiatest.Table(gpus[0]).Encode())
	if change != nil {
		change(gpus)
	}
	lists := [][]byte{v.CRL(gpus[0], nvidiatest.Root, time.Unix(made, 0)), v.CRL(gpus[0], nvidiatest.Model, time.Unix(made, 0))}
	r := rules{"gpus": len(names), "require_crl": true, "tables": []string{nvidia.TableDigest(table)}}
	for k, x := range add {
		r[k] = x
	}
	return piece{nvidia.Name, nvidiatest.Evidence([][]byte{table}, lists, gpus...), v.Roots(), r}
}

func nvidiaCases() []vectors.Vector {
	hopper := []string{"GH100", "GH100"}
	beside := func(name, comment, state, failure string, names []string, change func([]*nvidiatest.GPU), add rules) vectors.Vector {
		return hardware(name, comment, state, failure, snpPiece("Genoa", nil, nil), nvidiaPiece(names, change, add))
	}
	return []vectors.Vector{
		beside("nvidia-hopper", "Two Hopper GPUs beside an SNP machine.", "verified", "", hopper, nil, nil),
		beside("nvidia-blackwell", "A Blackwell GPU beside an SNP machine.", "verified", "", []string{"GB100"}, nil, nil),
		hardware("nvidia-alone", "GPUs prove nothing of the machine that they are plugged into.", "failed", "evidence_incomplete",
			nvidiaPiece(hopper, nil, nil)),
		beside("nvidia-missing-gpu", "One GPU where two are asked for.", "failed", "policy_mismatch", hopper[:1], nil, rules{"gpus": 2}),
		beside("nvidia-changed-after-signing", "One bit of a report flipped.", "failed", "signature_invalid", hopper,
			func(g []*nvidiatest.GPU) {
				g[1].EditSigned = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
			}, nil),
		beside("nvidia-old-driver", "A driver below the floor of its line.", "failed", "firmware_old", hopper, nil,
			rules{"min_driver": []string{"570.999.99"}}),
		beside("nvidia-other-key", "A GPU that answered for another key.", "failed", "key_not_bound", hopper,
			func(g []*nvidiatest.GPU) { g[1].Nonce[0] ^= 1 }, nil),
		beside("nvidia-other-measurement", "A GPU that measured something that the table doesn't have.", "failed", "software_mismatch", hopper,
			func(g []*nvidiatest.GPU) {
				g[1].Measurements = slices.Clone(g[1].Measurements)
				g[1].Measurements[3] = bytes.Repeat([]byte{9}, len(g[1].Measurements[3]))
			}, nil),
		beside("nvidia-other-maker", "Certificates of somebody else.", "failed", "chain_untrusted", hopper,
			func(g []*nvidiatest.GPU) {
				s := nvidiatest.New().GPU("GH100")
				s.Nonce = g[1].Nonce
				*g[1] = *s
			}, nil),
	}
}

// severalCases are bundles of more than one kind.
func severalCases() []vectors.Vector {
	return []vectors.Vector{
		hardware("several-all", "A processor, a TPM and a GPU, all of one key.", "verified", "",
			tdxPiece(nil, nil), tpmPiece(nil, nil), nvidiaPiece([]string{"GB100"}, nil, nil)),
		hardware("several-one-wrong", "The same, and the TPM speaks of something else.", "failed", "software_mismatch",
			tdxPiece(nil, nil), tpmPiece(func(m *tpmtest.Machine) { m.Events[5].Digest = []byte("another image") }, nil)),
	}
}

// remake makes the evidence anew, with other keys and signatures. With -update
// alone the evidence stays, and only what is said of it is written anew.
var remake = flag.Bool("remake", false, "with -update, make the evidence of hardware anew")

// hardwareCases are all of them. Signatures are random, so that the files can't be
// compared with what a case makes. Instead each is judged as it is, and each case
// is made again and must come to the same end.
func hardwareCases() []vectors.Vector {
	return slices.Concat(snpCases(), tdxCases(), tpmCases(), nvidiaCases(), severalCases())
}

func TestHardwareVectors(t *testing.T) {
	for _, v := range hardwareCases() {
		file := filepath.Join(dir, v.Name+".json")
		doc := encode(t, v)
		if err := vectors.Check(doc); err != nil {
			t.Error(err)
			continue
		}
		if *update {
			if old, err := os.ReadFile(file); err == nil && !*remake {
				kept := must(vectors.Parse(old))
				kept.Comment, kept.State, kept.Failure, kept.Time = v.Comment, v.State, v.Failure, v.Time
				doc = encode(t, kept)
			}
			if err := os.WriteFile(file, doc, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := vectors.Check(stored); err != nil {
			t.Error(err)
		}
		s, err := vectors.Parse(stored)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != v.Name || s.Comment != v.Comment || s.State != v.State || s.Failure != v.Failure || s.Time != v.Time {
			t.Errorf("%s is another case than the one here; run with -update", file)
		}
	}
}

// truncate takes the last byte off the first piece of evidence.
func truncate(bundle []byte) []byte {
	b := must(attest.ParseBundle(bundle))
	b.Evidence[0].Data = b.Evidence[0].Data[:len(b.Evidence[0].Data)-1]
	return must(b.Encode())
}

// Roots that a vector can't have are errors, and not the makers' own.
func TestRoots(t *testing.T) {
	good := hardware("x", "", "", "", snpPiece("Genoa", nil, nil))
	for name, roots := range map[string]map[string][]vectors.Root{
		"no such platform": {"abacus": nil},
		"none to have":     {"software": nil},
		"short":            {"snp": {{Name: "ARK-Genoa", Key: "00"}}},
		"not hex":          {"snp": {{Name: "ARK-Genoa", Key: strings.Repeat("zz", 32)}}},
	} {
		v := good
		v.Roots = roots
		v.Verdict = json.RawMessage("{}")
		if _, err := vectors.Run(must(json.Marshal(v))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
