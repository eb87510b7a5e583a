// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package attest decides whether a machine may receive a person's words.
//
// A machine makes a key pair in memory, writes a [KeyConfig] that describes the
// key, and asks its hardware to sign a hash of the exact bytes of that
// description. Description and signatures travel together as a bundle. The
// client gives the bundle to [Verify], which answers with a [Key] to seal to,
// or with none, and always with a [Verdict] that a person can read:
//
//	key, verdict := attest.Verify(bundle, policy, time.Now(), snp.Platform{}, tdx.Platform{})
//	if key == nil {
//		return verdict // nothing is sent; verdict.Failure says why
//	}
//
// Each kind of hardware is a [Platform] in a package of its own, in three steps:
// parse the bytes, verify signatures and chains, appraise what was signed
// against a [Policy]. A platform returns what it found and never the verdict:
// the verdict is made here, only after every step of every piece of evidence
// has run, and a row that nothing proved counts as failed. So a platform
// that forgets a check makes machines fail, not pass.
//
// The package reads no clock, no file and no network, has no state, and builds
// for js/wasm. Every input may come from a stranger: nothing here panics, hangs
// or allocates by a number that a stranger chose.
//
// The formats are those of spec/evidence.md and spec/verdict.md.
package attest

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Policy says what a client accepts. The zero Policy is the strict one.
//
// It is a JSON document too, so that it can come from a file or a release
// manifest. A platform keeps its own rules under its name in Platforms and
// decodes them itself, strictly; the frame passes them on unread.
type Policy struct {
	// AllowSoftware accepts evidence of the platform "software", which proves
	// nothing. The verdict's state is then [StateDemo], never [StateVerified].
	AllowSoftware bool `json:"allow_software,omitempty"`

	// Require names the platforms of which a bundle must hold evidence. Empty
	// means that any evidence will do that proves all rows.
	Require []string `json:"require,omitempty"`

	// Releases lists the release digests ("sha256:<hex>") that a key config may
	// name. Empty means any; the platforms still compare what was measured.
	Releases []string `json:"releases,omitempty"`

	// MaxLifetime is the longest time in seconds that a key may be valid.
	// Zero means [DefaultMaxLifetime].
	MaxLifetime int64 `json:"max_lifetime,omitempty"`

	// Platforms holds each platform's own rules under its name.
	Platforms map[string]json.RawMessage `json:"platforms,omitempty"`

	// Pin says which public log releases have to stand in, and whose signatures they
	// need; package release reads it. With one, a machine's release has to be public.
	Pin json.RawMessage `json:"pin,omitempty"`
}

// ClockSkew is how many seconds a key's not-before may lie in the client's
// future: clocks of people's devices run behind. A key's end has no such grace.
const ClockSkew = 300

// Claim is what every piece of evidence in a bundle must have signed.
type Claim struct {
	// ReportData is the hash of the exact key config; see [ReportData].
	// Hardware with a shorter field derives its nonce from these bytes.
	ReportData [64]byte

	// Config is the key config itself, for platforms that compare what was
	// measured with the release and models that the machine says it runs.
	Config KeyConfig

	// Unbound says that no key is known: raw evidence is looked at for itself,
	// by [Examine]. What it signed is then shown and compared with nothing.
	Unbound bool
}

// A Platform judges one kind of evidence.
//
// Implementations are values without state. Verify must be total: any data,
// however wrong, gives an Appraisal.
type Platform interface {
	// Name is the word that stands in a bundle: "snp", "tdx", "software".
	Name() string

	// Verify parses data, verifies its signatures and chain at time now, and
	// appraises it against claim and policy. It runs every step that still makes
	// sense after a failure, so that a person sees all that is wrong.
	Verify(data []byte, claim Claim, policy Policy, now time.Time) Appraisal
}

// Appraisal is what a Platform found in one piece of evidence.
type Appraisal struct {
	// Checks holds every single thing looked at. A check's ID is
	// "<row>.<name>", such as "chip.signature"; see [Check]. At least one
	// "chip." and one "key." check must be there, or the evidence counts as
	// incomplete: evidence that isn't bound to the key is another machine's.
	Checks []Check

	// Chip identifies the chip as far as the evidence tells: a short printable
	// string that is safe to keep, or "".
	Chip string

	// Demo marks evidence that proves nothing by design. A bundle that holds
	// any can never be verified.
	Demo bool

	// Unshielded marks hardware that tells what runs and doesn't keep memory from
	// whoever owns the machine. By itself it is enough only for a policy that
	// requires it.
	Unshielded bool
}

// Key is a machine's key that stood the test, and what it said of itself.
// Only [Verify] makes one.
type Key struct {
	id     [KeyIDSize]byte
	config KeyConfig
	demo   bool
}

// ID returns the key id by which sealed requests name the key.
func (k *Key) ID() [KeyIDSize]byte { return k.id }

// PublicKey returns the encapsulation key. The caller must not change it.
func (k *Key) PublicKey() []byte { return k.config.PublicKey }

// Config returns the key config that the evidence signed.
func (k *Key) Config() KeyConfig { return k.config }

// Demo reports whether only software vouches for the key.
func (k *Key) Demo() bool { return k.demo }

// ValidAt reports whether the key may be used at t.
func (k *Key) ValidAt(t time.Time) bool {
	u := t.Unix()
	return u >= k.config.NotBefore-ClockSkew && u < k.config.NotAfter
}

// Verify judges a bundle at time now by a policy alone; see [Judge].
func Verify(bundle []byte, policy Policy, now time.Time, platforms ...Platform) (*Key, Verdict) {
	return Judge(bundle, Terms{Policy: policy}, now, platforms...)
}

// Judge judges a bundle at time now. The Key is nil unless the verdict's state
// is [StateVerified] or [StateDemo]. The same arguments always give the same
// verdict. Platforms that aren't given are unknown.
func Judge(doc []byte, t Terms, now time.Time, platforms ...Platform) (*Key, Verdict) {
	j, policy := newJudge(now), t.Policy
	j.checkPage(t.Page)
	b, err := ParseBundle(doc)
	if err != nil {
		j.add("", Failed("key.bundle", "The proof can be read", FailBundleMalformed,
			"What this machine sent as its proof is not in the agreed form: "+err.Error()+"."))
		return nil, j.verdict(policy)
	}
	config, err := ParseKeyConfig(b.KeyConfig)
	if err != nil {
		j.add("", Failed("key.config", "The key's description can be read", FailKeyConfigMalformed,
			"This machine's description of its key is not in the agreed form: "+err.Error()+"."))
		return nil, j.verdict(policy)
	}
	id := KeyID(b.KeyConfig)
	j.describe(config, id)
	policy = j.checkLog(config, b.Checkpoint, t, now)
	j.checkConfig(config, policy, now)

	claim := Claim{ReportData: ReportData(b.KeyConfig), Config: config}
	if t.Nonce != nil {
		claim.ReportData = FreshData(*t.Nonce, b.KeyConfig)
	}
	for _, e := range b.Evidence {
		j.appraise(e, claim, policy, now, platforms)
	}
	j.checkRequired(b.Evidence, policy)
	j.checkWhole(policy)

	v := j.verdict(policy)
	if v.State != StateVerified && v.State != StateDemo {
		return nil, v
	}
	return &Key{id: id, config: config, demo: v.State == StateDemo}, v
}

// checkConfig judges what the key config says before any hardware is asked.
func (j *judge) checkConfig(c KeyConfig, p Policy, now time.Time) {
	if c.Suite != Suite {
		ck := Failed("key.suite", "The key is of a kind this app can seal to", FailKeySuite,
			"This machine offers a kind of key that this app does not know.")
		ck.Want, ck.Found = Suite, c.Suite
		j.add("", ck)
	} else {
		j.add("", Passed("key.suite", "The key is of a kind this app can seal to", "The key is for "+c.Suite+"."))
	}

	longest := p.MaxLifetime
	if longest == 0 {
		longest = DefaultMaxLifetime
	}
	const title = "The key is valid now"
	at := now.Unix()
	var ck Check
	switch {
	case c.NotAfter-c.NotBefore > longest:
		ck = Failed("key.validity", title, FailKeyLifetime,
			"This machine's key is meant to live longer than is safe.")
		ck.Want, ck.Found = seconds(longest)+" at most", seconds(c.NotAfter-c.NotBefore)
	case at < c.NotBefore-ClockSkew:
		ck = Failed("key.validity", title, FailKeyNotYetValid,
			"This machine's key is not valid yet. Is the clock of this device right?")
		ck.Want, ck.Found = "from "+stamp(c.NotBefore), "checked "+stamp(at)
	case at >= c.NotAfter:
		ck = Failed("key.validity", title, FailKeyExpired,
			"This machine's proof is out of date. A fresh one is needed.")
		ck.Want, ck.Found = "before "+stamp(c.NotAfter), "checked "+stamp(at)
	default:
		ck = Passed("key.validity", title,
			"The key was made at "+stamp(c.NotBefore)+" and is erased after "+stamp(c.NotAfter)+".")
	}
	j.add("", ck)

	if len(p.Releases) > 0 {
		const title = "The release is one that is accepted"
		if slices.Contains(p.Releases, c.Release) {
			j.add("", Passed("software.release", title, "The machine names release "+c.Release+"."))
		} else {
			ck := Failed("software.release", title, FailReleaseRefused,
				"This machine says that it runs a release that this app does not accept.")
			ck.Want, ck.Found = strings.Join(p.Releases, " or "), c.Release
			j.add("", ck)
		}
	}
}

// appraise has one piece of evidence judged by its platform.
func (j *judge) appraise(e Evidence, claim Claim, p Policy, now time.Time, platforms []Platform) {
	if !slices.Contains(j.v.Platforms, e.Platform) {
		j.v.Platforms = append(j.v.Platforms, e.Platform)
	}
	i := slices.IndexFunc(platforms, func(pf Platform) bool { return pf.Name() == e.Platform })
	if i < 0 {
		ck := Failed("chip.platform", "The kind of proof is known", FailPlatformUnknown,
			"This machine shows a kind of proof that this app cannot check. A newer app may.")
		ck.Found = e.Platform
		j.add(e.Platform, ck)
		return
	}
	_, own := p.Platforms[e.Platform]
	if j.machines != nil && !own {
		p.Platforms = j.machines.Platforms
	}
	a := platforms[i].Verify(e.Data, claim, p, now)
	if j.machines != nil && own {
		p.Platforms = j.machines.Platforms
		a.Checks = both(a.Checks, platforms[i].Verify(e.Data, claim, p, now).Checks)
	}
	j.demo = j.demo || a.Demo
	if a.Unshielded {
		j.unshielded = append(j.unshielded, e.Platform)
	}
	if j.v.Chip == "" {
		j.v.Chip = a.Chip
	}
	if a.Demo && !p.AllowSoftware {
		j.add(e.Platform, Failed("chip.demo", "The proof comes from hardware", FailSoftwareRefused,
			"No chip vouches for this machine: it only pretends, and this app was not told to accept that."))
	}
	var chip, key bool
	for _, c := range a.Checks {
		row, _, _ := strings.Cut(c.ID, ".")
		chip = chip || row == RowChip
		key = key || row == RowKey
		j.add(e.Platform, c)
	}
	if !chip || !key {
		j.add(e.Platform, Failed("key.complete", "The proof speaks of this key", FailEvidenceIncomplete,
			"A part of this machine's proof does not say which chip or which key it speaks of."))
	}
}

// checkRequired looks for the platforms that the policy asks for: each has to be
// there, and has to prove by itself what is asked of every machine.
func (j *judge) checkRequired(es []Evidence, p Policy) {
	for _, name := range p.Require {
		if !slices.ContainsFunc(es, func(e Evidence) bool { return e.Platform == name }) {
			ck := Failed("chip.required", "Every kind of proof asked for is there", FailPlatformMissing,
				"A kind of proof that this app asks for is missing.")
			ck.Want, ck.Found = name, strings.Join(j.v.Platforms, ", ")
			j.add(name, ck)
		}
	}
}

// checkWhole makes sure that rows are not proved by pieces of different
// machines that each leave something open: a genuine chip here, the right
// software there. One platform proves all of [wholeRows] by itself; where the
// policy requires some, it is one of these, and else one that keeps memory from
// whoever owns the machine. And each required one proves its own chip and key,
// which is all that hardware beside the processor can.
func (j *judge) checkWhole(p Policy) {
	const title = "One kind of hardware proves all of it"
	if first, _ := j.firstFailure(); first != "" {
		return // what is wrong says more than what is therefore open
	}
	for _, name := range p.Require {
		for _, row := range [...]string{RowChip, RowKey} {
			if j.proves(name, row) {
				continue
			}
			ck := Failed(row+".whole", title, FailEvidenceIncomplete,
				"A kind of proof that this app asks for leaves something open that it has to prove.")
			ck.Want = name
			j.add(name, ck)
		}
	}
	among := p.Require
	if len(among) == 0 {
		among = slices.DeleteFunc(slices.Clone(j.v.Platforms), func(name string) bool { return slices.Contains(j.unshielded, name) })
	}
	whole := func(name string) bool {
		return !slices.ContainsFunc(wholeRows[:], func(row string) bool { return !j.proves(name, row) })
	}
	if !j.openRow() && !slices.ContainsFunc(among, whole) {
		detail := "Parts of this proof come from different hardware, and none of it proves the whole."
		if slices.ContainsFunc(j.unshielded, whole) {
			detail = "What vouches for this machine can't keep its memory from whoever owns it, and this app was not told that this is enough."
		}
		ck := Failed("software.whole", title, FailEvidenceIncomplete, detail)
		ck.Want = strings.Join(among, " or ")
		j.add("", ck)
	}
}

// wholeRows are the rows that one platform has to prove alone.
var wholeRows = [...]string{RowChip, RowSoftware, RowKey}

// proves reports whether a part of the platform proves something in a row. Of
// demo evidence a warning is all there can be. "" stands for any platform.
func (j *judge) proves(platform, row string) bool {
	return slices.ContainsFunc(j.row(row).Parts, func(c Check) bool {
		return c.Platform != "" && (platform == "" || c.Platform == platform) && (c.Status == StatusOK || j.demo)
	})
}

// openRow reports whether a row has no proof at all, which closing it says better.
func (j *judge) openRow() bool {
	return slices.ContainsFunc(wholeRows[:], func(row string) bool { return !j.proves("", row) })
}

func (j *judge) describe(c KeyConfig, id [KeyIDSize]byte) {
	j.v.Node = c.Node
	j.v.KeyID = hex.EncodeToString(id[:])
	j.v.Release = c.Release
	j.v.Models = c.Models
	j.v.NotBefore, j.v.NotAfter = c.NotBefore, c.NotAfter
}
