// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package nvidia judges the evidence of NVIDIA's confidential GPUs of the
// generations Hopper and Blackwell: one report per GPU, signed by a key that the
// GPU's boot ROM made for the firmware that it measured.
//
// A report is a request and a response of SPDM 1.1 (DMTF DSP0274). The asker's
// nonce in it is derived from the report data, so it speaks of the node's key.
// Five certificates lead from the key that signed it to NVIDIA's root. What the
// GPU runs is in its measurements; they are compared with a [Table] that the
// policy pins. Only they tell that confidential mode is on and the developers'
// tools are off: no field of a report says so.
//
// A GPU knows nothing of the machine that it is in. Whoever has one can have it
// sign any nonce, so nothing here ever proves the software row: it takes evidence
// of the processor beside it (package snp or tdx).
//
// Where others' rules are followed they are those of NVIDIA's own verifier
// (nvtrust, guest_tools/gpu_verifiers/local_gpu_verifier).
package nvidia

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/cert/der"
	"github.com/sotto-chat/sotto/attest/section"
)

// Name is the platform's name in bundles.
const Name = "nvidia"

// MaxGPUs is how many GPUs one piece of evidence may hold, and MaxLists how many
// revocation lists: each is checked for each GPU.
const (
	MaxGPUs  = 16
	MaxLists = 4
)

// Kinds of sections. The n-th chain is that of the n-th report.
const (
	KindReport = 1 // as NVML gives it
	KindChain  = 2 // certificates in DER, one after the other: the leaf first, the root last
	KindTable  = 3 // see [Table]
	KindCRL    = 4 // revocation list in DER
)

// Sections are the rules of the container, for package section.
func Sections() []section.Rule {
	return []section.Rule{
		{Kind: KindReport, Name: "report", Min: 1, Max: MaxGPUs, MaxLen: MaxReport},
		{Kind: KindChain, Name: "chain", Min: 1, Max: MaxGPUs, MaxLen: 16 << 10},
		{Kind: KindTable, Name: "table", Min: 0, Max: MaxGPUs, MaxLen: MaxTable},
		{Kind: KindCRL, Name: "revocation list", Min: 0, Max: MaxLists, MaxLen: 256 << 10},
	}
}

// Platform is NVIDIA's confidential GPUs.
type Platform struct {
	// Roots are the keys that chains may end at; nil means NVIDIA's.
	Roots []cert.Root
}

var _ attest.Platform = Platform{}

// root is the key of "NVIDIA Device Identity CA" of 2021, which all GPUs and
// switches lead to. It was taken from nvtrust's certs/verifier_device_root.pem
// and is that of the chains of real GPUs, too.
var root = cert.Root{Name: "NVIDIA Device Identity CA", Key: [32]byte{
	0xa9, 0x0c, 0x4e, 0xb5, 0xac, 0xfd, 0x3e, 0x3d,
	0x03, 0xa2, 0x5d, 0xb6, 0xa2, 0x6b, 0x84, 0xf7,
	0x20, 0xad, 0x05, 0x03, 0x19, 0x6c, 0x62, 0x7c,
	0x21, 0xdd, 0xd4, 0x8d, 0xd8, 0x5b, 0x06, 0xa4,
}}

// Certificates of a chain, by their place in it.
const (
	leafCert   = iota // of the key that signs reports; new with each firmware
	deviceCert        // of the GPU's own key, for its life
	issuerCert        // what NVIDIA names GPUs with in the factory
	modelCert         // of the kind of chip: "NVIDIA GH100 Identity"
	rootCert          // signed by itself
	chainSize
)

const deviceSize = 16 // bytes of a GPU's name

// gpu is one GPU's part of the evidence.
type gpu struct {
	report  *Report
	chain   []*cert.Certificate // as it came
	trusted bool                // NVIDIA's; false where nobody looked
}

// device names the GPU: the first 16 bytes of the hash of its own key, in hex.
func (g *gpu) device() string {
	h := g.chain[deviceCert].KeyHash()
	return hex.EncodeToString(h[:deviceSize])
}

// model returns the kind of chip as NVIDIA's certificate names it, "GH100", or "".
func (g *gpu) model() string {
	name := g.chain[modelCert].SubjectName("2.5.4.3")
	name, ok1 := strings.CutPrefix(name, "NVIDIA ")
	name, ok2 := strings.CutSuffix(name, " Identity")
	if !ok1 || !ok2 {
		return ""
	}
	return name
}

// arch returns the generation of a model. Others lead to the same root, among
// them switches, whose reports look alike.
func arch(model string) string {
	switch {
	case strings.HasPrefix(model, "GH1"):
		return "hopper"
	case strings.HasPrefix(model, "GB1"), strings.HasPrefix(model, "GB2"):
		return "blackwell"
	}
	return ""
}

// evidence is what the sections hold.
type evidence struct {
	gpus   []gpu
	raw    [][]byte // tables as they came
	tables []*Table
	crls   []*cert.CRL
}

// parse is the first step: everything can be read.
func parse(data []byte) (*evidence, error) {
	s, err := section.Parse(data, Sections())
	if err != nil {
		return nil, err
	}
	e := &evidence{raw: s.All(KindTable)}
	reports, chains := s.All(KindReport), s.All(KindChain)
	if len(reports) != len(chains) {
		return nil, errors.New("there are not as many chains as reports")
	}
	var known []*cert.Certificate
	for i := range reports {
		var g gpu
		if g.report, err = ParseReport(reports[i]); err != nil {
			return nil, err
		}
		if g.chain, err = parseChain(chains[i], known); err != nil {
			return nil, err
		}
		known = append(known, g.chain...)
		e.gpus = append(e.gpus, g)
	}
	for _, b := range e.raw {
		t, err := ParseTable(b)
		if err != nil {
			return nil, err
		}
		e.tables = append(e.tables, t)
	}
	for _, b := range s.All(KindCRL) {
		c, err := cert.ParseCRL(b)
		if err != nil {
			return nil, err
		}
		e.crls = append(e.crls, c)
	}
	return e, nil
}

// ParseChain reads the five certificates of a GPU.
func ParseChain(b []byte) ([]*cert.Certificate, error) { return parseChain(b, nil) }

// parseChain takes certificates of the same bytes from those that are known: GPUs
// share the upper ones, which remember that their signature is right.
func parseChain(b []byte, known []*cert.Certificate) ([]*cert.Certificate, error) {
	var out []*cert.Certificate
	for r := der.New(b); !r.Empty(); {
		whole, _ := r.Whole(der.Sequence) // what isn't one is no certificate either
		if len(out) == chainSize {
			return nil, errors.New("a GPU's certificates are not five one after the other")
		}
		if i := slices.IndexFunc(known, func(c *cert.Certificate) bool { return bytes.Equal(c.Raw, whole) }); i >= 0 {
			out = append(out, known[i])
			continue
		}
		c, err := cert.Parse(whole)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) != chainSize {
		return nil, errors.New("a GPU's certificates are not five one after the other")
	}
	return out, nil
}

// Name implements [attest.Platform].
func (Platform) Name() string { return Name }

// Verify implements [attest.Platform].
func (p Platform) Verify(data []byte, claim attest.Claim, policy attest.Policy, now time.Time) attest.Appraisal {
	r, err := rulesOf(policy)
	if err != nil {
		return attest.RefusedRules("GPUs", err)
	}
	e, err := parse(data)
	if err != nil {
		return attest.Refused("chip.report", "The GPUs' reports can be read", attest.FailEvidenceMalformed,
			"What this machine's GPUs sent as proof is not in the agreed form: "+err.Error()+".")
	}
	roots := p.Roots
	if roots == nil {
		roots = []cert.Root{root}
	}
	a := attest.Appraisal{Chip: e.gpus[0].device()}
	a.Checks = e.verify(r, roots, now.Unix())
	a.Checks = append(a.Checks, e.appraise(r)...)
	a.Checks = append(a.Checks, e.bound(claim))
	return a
}

// finding is what a rule says of one GPU: nothing, or a failure.
type finding struct{ failure, detail, want, found string }

// each asks a rule about every GPU and makes one part of it: that of the first
// GPU that breaks it, or the one that all keep it.
func (e *evidence) each(id, title, ok string, rule func(*gpu) finding) attest.Check {
	for i := range e.gpus {
		f := rule(&e.gpus[i])
		if f.failure == "" {
			continue
		}
		c := attest.Failed(id, title, f.failure, f.detail)
		c.Want, c.Found = f.want, f.found
		c.Found = e.which(i, c.Found)
		return c
	}
	return attest.Passed(id, title, ok)
}

// which says of which GPU something was found, where there are several.
func (e *evidence) which(i int, found string) string {
	if len(e.gpus) == 1 {
		return found
	}
	s := "GPU " + strconv.Itoa(i+1)
	if found != "" {
		s += ": " + found
	}
	return s
}

// verify is the second step: signatures, chains and revocation.
func (e *evidence) verify(r rules, roots []cert.Root, now int64) []attest.Check {
	return []attest.Check{
		e.each("chip.chain", "NVIDIA made the GPU", "NVIDIA's certificates name "+count(len(e.gpus))+".", func(g *gpu) finding {
			if err := verifyChain(g.chain, roots, now); err != nil {
				return finding{cert.FailureOf(err), "A GPU of this machine cannot show that NVIDIA made it: " + err.Error() + ".", "", ""}
			}
			g.trusted = true
			return finding{}
		}),
		e.each("chip.signature", "The GPU signed the report", "Each GPU signed its report itself.", func(g *gpu) finding {
			rep, key := g.report, g.chain[leafCert].Key
			if !key.VerifyRS(cert.ECDSASHA384, rep.signed, rep.signature[:signatureSize/2], rep.signature[signatureSize/2:]) {
				return finding{attest.FailSignatureInvalid, "The report of a GPU was not signed by that GPU.", "", ""}
			}
			return finding{}
		}),
		e.firmware(),
		e.revocation(r, now),
	}
}

func verifyChain(chain []*cert.Certificate, roots []cert.Root, now int64) error {
	found, err := cert.Chain(chain[leafCert], chain[1:], roots, now)
	if err != nil {
		return err
	}
	// Each certificate that came is one step. That keeps a switch's or a factory's
	// certificate from standing in for a GPU's.
	if !slices.Equal(found, chain) {
		return &cert.Error{Failure: attest.FailChainUntrusted, Detail: "its certificates are not the five that a GPU has"}
	}
	if leaf := chain[leafCert]; leaf.IsCA || leaf.KeyUsage&cert.UsageDigitalSignature == 0 {
		return &cert.Error{Failure: attest.FailChainUntrusted, Detail: "its key is not one for signing reports"}
	}
	return nil
}

// firmware compares the firmware that the boot ROM certified with that of which
// the report speaks.
func (e *evidence) firmware() attest.Check {
	const id, title = "chip.fwid", "The report is of the firmware that was started"
	silent := false
	c := e.each(id, title, "The firmware that signed is the one that each GPU's boot ROM measured.", func(g *gpu) finding {
		certified := firmwareID(g.chain[leafCert])
		switch {
		case certified == nil:
			return finding{attest.FailEvidenceMalformed, "A GPU's certificate does not say which firmware was started.", "", ""}
		case g.report.FWID == nil:
			silent = true
		case !bytes.Equal(certified, g.report.FWID):
			return finding{attest.FailSoftwareMismatch, "A GPU's report speaks of other firmware than was started.",
				hex.EncodeToString(certified), hex.EncodeToString(g.report.FWID)}
		}
		return finding{}
	})
	if c.Status == attest.StatusOK && silent {
		return attest.Warned(id, title, "A GPU's report does not name its firmware, as older ones don't, so there was nothing to compare.")
	}
	return c
}

// revocation looks for each certificate in the policy's list and in the lists of
// NVIDIA's that came with the evidence.
func (e *evidence) revocation(r rules, now int64) attest.Check {
	const id, title = "chip.revocation", "NVIDIA stands by the certificates"
	used, missing := 0, false
	c := e.each(id, title, "No certificate of the GPUs was revoked.", func(g *gpu) finding {
		// Who made it isn't known, which is said above. Nothing of a stranger's is
		// looked into further: a list of his costs a signature for each GPU.
		if !g.trusted {
			return finding{}
		}
		for i, c := range g.chain {
			issuer, listed := g.chain[min(i+1, rootCert)], false
			if s := hex.EncodeToString(c.Serial); slices.Contains(r.Revoked, s) {
				return finding{attest.FailRevoked, "A certificate of a GPU was revoked.", "none that is revoked", s}
			}
			for _, crl := range e.crls {
				if !bytes.Equal(crl.RawIssuer, issuer.RawSubject) {
					continue
				}
				if err := crl.Verify(issuer, now); err != nil {
					return finding{cert.FailureOf(err), "A list of revoked certificates that came along does not hold: " + err.Error() + ".", "", ""}
				}
				if crl.Revoked(c.Serial) {
					return finding{attest.FailRevoked, "NVIDIA has revoked a certificate of a GPU.", "none that is revoked", hex.EncodeToString(c.Serial)}
				}
				listed = true
			}
			if i == issuerCert || i == modelCert {
				missing = missing || !listed
			}
		}
		return finding{}
	})
	for _, crl := range e.crls {
		if slices.ContainsFunc(e.gpus, func(g gpu) bool {
			return slices.ContainsFunc(g.chain, func(c *cert.Certificate) bool { return bytes.Equal(c.RawSubject, crl.RawIssuer) })
		}) {
			used++
		}
	}
	switch {
	case c.Status == attest.StatusFail:
		return c
	case used != len(e.crls):
		return attest.Failed(id, title, attest.FailEvidenceMalformed, "A list of revoked certificates came along that none of the GPUs has to do with.")
	case missing && r.RequireCRL:
		return attest.Failed(id, title, attest.FailCollateralMissing, "NVIDIA's lists of revoked certificates did not come along, so they could not be asked.")
	case missing:
		return attest.Warned(id, title, "NVIDIA's lists of revoked certificates did not come along. None of the certificates is on this app's own list.")
	}
	return c
}

// appraise is the third step: what was signed is what the policy asks for.
func (e *evidence) appraise(r rules) []attest.Check {
	out := []attest.Check{e.count(r)}
	out = append(out,
		e.each("chip.model", "The GPUs are of a kind that is accepted", count(len(e.gpus))+" of the kind "+e.gpus[0].model()+".", func(g *gpu) finding {
			m := g.model()
			want := r.Arch
			if want == nil {
				want = []string{"hopper", "blackwell"}
			}
			if !slices.Contains(want, arch(m)) {
				return finding{attest.FailPolicyMismatch, "This machine has a GPU of a kind that is not accepted.", strings.Join(want, " or "), m}
			}
			return finding{}
		}),
		e.devices(r),
		e.each("chip.driver", "The GPUs' driver is up to date", "The driver is "+e.gpus[0].report.Driver+".", func(g *gpu) finding {
			if r.MinDriver != nil && !atLeast(g.report.Driver, 10, r.MinDriver) {
				return finding{attest.FailFirmwareOld, "The driver of a GPU is older than is accepted.", floors(r.MinDriver), g.report.Driver}
			}
			return finding{}
		}),
		e.each("chip.vbios", "The GPUs' firmware is up to date", "The firmware is "+e.gpus[0].report.VBIOS+".", func(g *gpu) finding {
			if r.MinVBIOS != nil && !atLeast(g.report.VBIOS, 16, r.MinVBIOS) {
				return finding{attest.FailFirmwareOld, "The firmware of a GPU is older than is accepted.", floors(r.MinVBIOS), g.report.VBIOS}
			}
			return finding{}
		}),
		e.each("chip.mode", "The GPUs are joined as is accepted", "The mode is "+e.gpus[0].report.Mode+".", func(g *gpu) finding {
			if r.Modes != nil && !slices.Contains(r.Modes, g.report.Mode) {
				return finding{attest.FailPolicyMismatch, "A GPU is joined to others in a way that is not accepted.", strings.Join(r.Modes, " or "), g.report.Mode}
			}
			return finding{}
		}),
		e.measurement(r),
	)
	return out
}

func (e *evidence) count(r rules) attest.Check {
	const id, title = "chip.count", "Every GPU of the machine has shown itself"
	if r.GPUs != 0 && r.GPUs != len(e.gpus) {
		c := attest.Failed(id, title, attest.FailPolicyMismatch, "Not every GPU of this machine has shown itself, or more have than there should be.")
		c.Want, c.Found = strconv.Itoa(r.GPUs), strconv.Itoa(len(e.gpus))
		return c
	}
	return attest.Passed(id, title, count(len(e.gpus))+" sent a report.")
}

// devices checks that no GPU speaks twice and that each is one of the policy's.
func (e *evidence) devices(r rules) attest.Check {
	var seen []string
	return e.each("chip.id", "The GPUs are the machine's own", "Each report is of a GPU of its own.", func(g *gpu) finding {
		d := g.device()
		if slices.Contains(seen, d) {
			return finding{attest.FailPolicyMismatch, "One GPU speaks for two.", "a GPU of its own for each report", d}
		}
		seen = append(seen, d)
		if r.ChipIDs != nil && !slices.Contains(r.ChipIDs, d) {
			return finding{attest.FailPolicyMismatch, "This machine has a GPU that is not one of those accepted.", strings.Join(r.ChipIDs, " or "), d}
		}
		return finding{}
	})
}

// measurement compares what each GPU runs with the tables that the policy pins.
//
// That it is right stands in the chip's row: what a GPU runs says nothing of what
// the machine around it runs. That it is wrong or wasn't asked stands in the
// software's row, where a person looks for it.
func (e *evidence) measurement(r rules) attest.Check {
	const id, title = "software.measurement", "The GPUs run what NVIDIA published, in confidential mode"
	if r.Tables == nil {
		return attest.Warned(id, title, "What the GPUs run, and whether their confidential mode is on, was compared with nothing.")
	}
	for _, b := range e.raw {
		if d := TableDigest(b); !slices.Contains(r.Tables, d) {
			c := attest.Failed(id, title, attest.FailSoftwareMismatch, "The values that this machine's GPUs want to be compared with are not those of the release.")
			c.Want, c.Found = strings.Join(r.Tables, " or "), d
			return c
		}
	}
	c := e.each(id, title, "", func(g *gpu) finding {
		versions := g.report.Driver + " on " + g.report.VBIOS
		f := finding{attest.FailCollateralMissing, "The values to compare a GPU with did not come along.", "those of " + versions, ""}
		for _, t := range e.tables {
			if t.Driver != g.report.Driver || t.VBIOS != g.report.VBIOS {
				continue
			}
			i := t.mismatch(g.report)
			if i == 0 {
				return finding{}
			}
			f = finding{attest.FailSoftwareMismatch, "A GPU runs something else than NVIDIA published, or its confidential mode is off.",
				"the values of " + versions, "another value in measurement " + strconv.Itoa(int(i))}
		}
		return f
	})
	if c.Status == attest.StatusOK {
		return attest.Passed("chip.measurement", title, "The GPUs run what NVIDIA published, with confidential mode on and developers' tools off.")
	}
	return c
}

// bound checks that every GPU answered for the key.
func (e *evidence) bound(claim attest.Claim) attest.Check {
	var c attest.Check
	for i := range e.gpus {
		c = claim.BoundNonce(Name, e.gpus[i].report.Nonce)
		if c.Status == attest.StatusFail {
			c.Found = e.which(i, c.Found)
			break
		}
	}
	return c
}

func count(n int) string {
	if n == 1 {
		return "One GPU"
	}
	return strconv.Itoa(n) + " GPUs"
}

func floors(list []string) string { return strings.Join(list, " or ") + ", or later of the same line" }
