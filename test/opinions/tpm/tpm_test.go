// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tpm_test asks Google's go-tpm-tools about the evidence of TPMs that
// attest/tpm judges: two recordings of theirs from a machine of Google's cloud, and
// machines with a fake TPM, each changed in thousands of ways.
package tpm_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/google/go-tpm-tools/proto/attest"
	tpmpb "github.com/google/go-tpm-tools/proto/tpm"
	"github.com/google/go-tpm-tools/server"
	"google.golang.org/protobuf/proto"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

// piece is one piece of evidence and what it is judged by. The other verifier
// knows the time by itself.
type piece struct {
	tpmdata.Parts
	nonce []byte
	root  []byte // the only one that both trust
}

func (p piece) clone() piece {
	c := p
	c.Quote, c.Signature, c.Public = bytes.Clone(p.Quote), bytes.Clone(p.Signature), bytes.Clone(p.Public)
	c.Values, c.Log = bytes.Clone(p.Values), bytes.Clone(p.Log)
	c.Certificates, c.CRLs = nil, nil
	for _, b := range p.Certificates {
		c.Certificates = append(c.Certificates, bytes.Clone(b))
	}
	for _, b := range p.CRLs {
		c.CRLs = append(c.CRLs, bytes.Clone(b))
	}
	return c
}

// ours returns what fails, as "check failure".
func (p piece) ours() (failed []string) {
	h := sha256.Sum256(parse(p.root).RawSubjectPublicKeyInfo)
	rules, _ := json.Marshal(map[string]any{"roots": []string{hex.EncodeToString(h[:])}})
	policy := attest.Policy{Platforms: map[string]json.RawMessage{tpm.Name: rules}}
	// A recording's nonce isn't made as ours is: it is compared here.
	a := tpm.Platform{}.Verify(p.Append(nil), attest.Claim{Unbound: true}, policy, time.Now())
	for _, c := range a.Checks {
		switch {
		case c.Status == attest.StatusFail:
			failed = append(failed, c.ID+" "+c.Failure)
		case c.ID == "key.bound" && c.Found != hex.EncodeToString(p.nonce):
			failed = append(failed, "key.bound key_not_bound")
		}
	}
	return failed
}

func parse(der []byte) *x509.Certificate {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

// errPanic is no opinion: the other verifier has a fault there. It panics on types
// of events that it doesn't know, where ours counts on no type at all.
var errPanic = errors.New("it panics")

// second is the other verifier's opinion. It takes the registers by number.
func (p piece) second() (err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	pcrs := &tpmpb.PCRs{Hash: tpmpb.HashAlgo_SHA256, Pcrs: map[uint32][]byte{}}
	q, err := tpm.ParseQuote(p.Quote)
	selected := uint32(0xffffff)
	if err == nil && len(q.Selections) == 0 {
		selected = 0
	} else if err == nil && len(q.Selections) == 1 {
		selected, pcrs.Hash = q.Selections[0].PCRs, tpmpb.HashAlgo(q.Selections[0].Bank)
	}
	size := 32
	if pcrs.Hash == tpmpb.HashAlgo_SHA384 {
		size = 48
	}
	rest := p.Values
	for i := range uint32(24) {
		if selected>>i&1 == 1 {
			if len(rest) < size {
				return fmt.Errorf("register %d is missing", i)
			}
			pcrs.Pcrs[i], rest = rest[:size], rest[size:]
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("more registers than selected")
	}
	a := &pb.Attestation{
		AkPub: p.Public, EventLog: p.Log,
		Quotes: []*tpmpb.Quote{{Quote: p.Quote, RawSig: p.Signature, Pcrs: pcrs}},
	}
	if len(p.Certificates) == 0 {
		return fmt.Errorf("no certificate")
	}
	a.AkCert = p.Certificates[0]
	for _, c := range p.Certificates[1:] {
		if !bytes.Equal(c, p.root) {
			a.IntermediateCerts = append(a.IntermediateCerts, c)
		}
	}
	_, err = server.VerifyAttestation(a, server.VerifyOpts{Nonce: p.nonce, TrustedRootCerts: []*x509.Certificate{parse(p.root)},
		// Real firmware does both.
		AllowEmptySBVar: true, AllowEFIAppBeforeCallingEvent: true})
	return err
}

// recordings are the evidence that lies in go-tpm-tools' own folder.
func recordings(t *testing.T) map[string]piece {
	t.Helper()
	out := map[string]piece{}
	for name, nonce := range map[string][]byte{"gce-cos-85-nonce9009": {0x90, 0x09}, "gce-cos-85-no-nonce": nil} {
		b, err := os.ReadFile(filepath.Join(tools(t), "internal", "test", "attestations", name+".pb"))
		if err != nil {
			t.Fatal(err)
		}
		var a pb.Attestation
		if err := proto.Unmarshal(b, &a); err != nil {
			t.Fatal(err)
		}
		p := piece{nonce: nonce, root: server.GceEKRoots[0].Raw}
		p.Public, p.Log = a.AkPub, a.EventLog
		p.Certificates = append([][]byte{a.AkCert}, a.IntermediateCerts...)
		for _, c := range append(server.GceEKIntermediates, server.GceEKRoots...) {
			p.Certificates = append(p.Certificates, c.Raw)
		}
		for _, q := range a.Quotes {
			if q.Pcrs.Hash != tpmpb.HashAlgo_SHA256 {
				continue
			}
			p.Quote, p.Signature = q.Quote, q.RawSig
			for i := range uint32(24) {
				p.Values = append(p.Values, q.Pcrs.Pcrs[i]...)
			}
		}
		out[name] = p
	}
	return out
}

// TestLogs: what firmware and boot loaders of real machines wrote is as ours
// wants it. The quote is a fake TPM's, of what the log comes to.
func TestLogs(t *testing.T) {
	dir := filepath.Join(tools(t), "internal", "test", "eventlogs")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	judged, shown := 0, map[string]bool{}
	for _, f := range files {
		log, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		l, err := tcg.Parse(log)
		if reason, ok := unread[f.Name()]; (err != nil) != ok {
			t.Errorf("%s: %v, expected: %q", f.Name(), err, reason)
		}
		if err != nil {
			continue
		}
		regs, err := l.Replay(tpm.AlgSHA256, func(pcr int) []byte {
			v := make([]byte, 32)
			if at := bytes.Index(log, []byte("StartupLocality\x00")); at >= 0 && pcr == 0 {
				v[31] = log[at+16]
			}
			return v
		})
		if err != nil {
			t.Errorf("%s: %v", f.Name(), err)
			continue
		}
		var values []byte
		m := machine()
		m.Quoted[0].PCRs = 0
		for i := range 16 {
			m.Quoted[0].PCRs |= 1 << i
			if v := regs[i]; v != nil {
				values = append(values, v...)
			} else {
				values = append(values, make([]byte, 32)...)
			}
		}
		m.Digest = tpmtest.Sum(tpm.AlgSHA256, values)
		m.EditParts = func(p *tpmdata.Parts) { p.Values, p.Log = values, log }
		p := fake(m)
		if failed := p.ours(); len(failed) > 0 {
			t.Errorf("%s: %v", f.Name(), failed)
		}
		err = p.second()
		if reason := excused(err); err != nil && reason == "" {
			t.Errorf("%s: theirs refuses it: %v", f.Name(), err)
		} else {
			shown[reason] = true
		}
		judged++
	}
	if judged < 12 {
		t.Errorf("only %d logs", judged)
	}
	for reason := range excuses {
		if !shown[reason] && reason != "is not supported, only RSASSA" {
			t.Errorf("no log of a real machine shows that theirs is wrong to say %q", reason)
		}
	}
}

// excuses are what theirs refuses and ours takes, because theirs refuses logs of
// real machines for it, which are among its own recordings. [TestLogs] shows that.
var excuses = map[string]string{
	"invalid SCRTM version event for PCR0":                     "gdc-host: the maker measures something else than it logs, and ours draws no conclusion from it",
	"is not supported, only RSASSA":                            "it says so: it has no RSAPSS",
	"MR0 event contains separator data but non-separator type": "glinux-alex: firmware measured four zero bytes of its own code",
}

func excused(err error) string {
	for reason := range excuses {
		if err != nil && strings.Contains(err.Error(), reason) {
			return reason
		}
	}
	return ""
}

// unread are logs that ours doesn't read, and why.
var unread = map[string]string{"debian-10.bin": "it has digests of SHA-1 only"}

// tools is the folder of go-tpm-tools.
func tools(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-tpm-tools").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(dir))
}

func TestRecordings(t *testing.T) {
	for name, p := range recordings(t) {
		if err := p.second(); err != nil {
			t.Errorf("%s: theirs: %v", name, err)
		}
		if f := p.ours(); len(f) > 0 {
			t.Errorf("%s: ours: %v", name, f)
		}
	}
}

// machine is one with a fake TPM and everything that the other verifier looks for
// in a log.
func machine() *tpmtest.Machine {
	m := tpmtest.New()
	m.Events = []tpmtest.Event{
		{PCR: 0, Type: 0x08, Data: []byte("f\x00i\x00r\x00m\x00\x00\x00")},
		// Off, because the other verifier then doesn't ask for what was started by it.
		{PCR: 7, Type: 0x80000001, Data: tpmtest.Variable("SecureBoot", []byte{0})},
		{PCR: 7, Type: 0x80000001, Data: tpmtest.Variable("PK", nil)},
		{PCR: 7, Type: 0x80000001, Data: tpmtest.Variable("KEK", nil)},
		{PCR: 7, Type: 0x80000001, Data: security("db")},
		{PCR: 7, Type: 0x80000001, Data: security("dbx")},
	}
	for i := range 8 {
		m.Events = append(m.Events, tpmtest.Event{PCR: i, Type: 0x04, Data: make([]byte, 4)})
	}
	m.Events = append(m.Events, tpmtest.Event{PCR: 11, Type: 0x0d, Data: []byte("ro quiet\x00")})
	long := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	m.Leaf, m.Middle, m.Root, m.CRLs = long, long, long, false
	m.Extra = []byte("nonce")
	return m
}

// security is an empty variable of EFI_IMAGE_SECURITY_DATABASE_GUID.
func security(name string) []byte {
	v := tpmtest.Variable(name, nil)
	copy(v, "\xcb\xb2\x19\xd7\x3a\x3d\x96\x45\xa3\xbc\xda\xd0\x0e\x67\x65\x6f")
	return v
}

func fake(m *tpmtest.Machine) piece {
	parts := m.Parts()
	return piece{Parts: parts, nonce: []byte("nonce"), root: parts.Certificates[2]}
}

// also edits a certificate after what [machine] does to it.
func also(f *func(*x509.Certificate), g func(*x509.Certificate)) {
	before := *f
	*f = func(c *x509.Certificate) { before(c); g(c) }
}

// reasons say why ours refuses what theirs takes. The key is the first thing that
// failed, and the beginning of the change's name, where that matters.
var reasons = map[string]string{
	"chip.signature signature_invalid": "theirs takes the key from the certificate, and passes over another one beside it",
	"chip.report evidence_malformed":   "theirs passes over trailing and reserved bytes, looks into no key's public area beside a certificate, and into no certificate that it doesn't use",
	"chip.attributes policy_mismatch":  "theirs takes the certificate's word for what the key can do",
	"chip.scheme policy_mismatch":      "theirs takes any scheme that the key can be used with, whatever it is made for",
	"chip.certificate chain_untrusted": "theirs doesn't compare the key's public area with its certificate, nor ask what the certificate is for",
	"chip.signer policy_mismatch":      "theirs doesn't look at the signer's name",
	"chip.clock policy_mismatch":       "theirs doesn't look at the clock",
	"chip.log software_mismatch":       "theirs passes over registers of which the log has no entry, whatever they hold",
	"chip.events software_mismatch":    "theirs marks an entry whose data was changed, and goes on",
	"chip.chain chain_untrusted":       "theirs takes its intermediates as they are found; names are compared there after folding",
}

// TestChanges changes evidence in many ways. What theirs refuses must not pass ours,
// and for what only ours refuses there must be a reason.
func TestChanges(t *testing.T) {
	const atLeast = 10_000
	used := map[string]int{}
	n, both, onlyOurs, panics, excusedN := 0, 0, 0, 0, 0
	ask := func(name string, p piece) {
		n++
		ours, theirs := p.ours(), p.second()
		switch {
		case theirs == errPanic:
			panics++
		case len(ours) == 0 && excused(theirs) != "":
			excusedN++
		case len(ours) == 0 && theirs != nil:
			t.Errorf("%s: passes ours, and theirs says: %v", name, theirs)
		case len(ours) > 0 && theirs == nil:
			onlyOurs++
			if _, ok := reasons[ours[0]]; !ok {
				t.Errorf("%s: theirs takes it, and there is no reason for %v", name, ours)
			}
			used[ours[0]]++
		case len(ours) > 0:
			both++
		}
	}

	all := recordings(t)
	ec, rsaKey := machine(), machine()
	rsaKey.Use(tpmtest.AttestationKey(tpmtest.RSA()))
	long := machine()
	key := tpmtest.AttestationKey(tpmtest.P384())
	key.NameAlg, key.Hash = tpm.AlgSHA384, tpm.AlgSHA384
	long.Use(key)
	banks := machine()
	banks.Banks = []uint16{tpm.AlgSHA1, tpm.AlgSHA256, tpm.AlgSHA384}
	banks.Quoted = []tpm.Selection{{Bank: tpm.AlgSHA384, PCRs: 0x8000ff}}
	for name, m := range map[string]*tpmtest.Machine{"fake P-256": ec, "fake RSA": rsaKey, "fake P-384": long, "fake sha384": banks} {
		all[name] = fake(m)
	}
	for name, p := range all {
		if f, err := p.ours(), p.second(); len(f) > 0 || err != nil {
			t.Fatalf("%s, unchanged: ours %v, theirs %v", name, f, err)
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for k := range all {
			if !yield(k) {
				return
			}
		}
	})

	rnd := rand.New(rand.NewPCG(1, 2))
	sections := []struct {
		name string
		of   func(*piece) *[]byte
		step int // of bytes that are flipped in a fake's; a recording's are longer
	}{
		{"quote", func(p *piece) *[]byte { return &p.Quote }, 1},
		{"signature", func(p *piece) *[]byte { return &p.Signature }, 1},
		{"key", func(p *piece) *[]byte { return &p.Public }, 1},
		{"certificate", func(p *piece) *[]byte { return &p.Certificates[0] }, 5},
		{"issuer", func(p *piece) *[]byte { return &p.Certificates[1] }, 5},
		{"registers", func(p *piece) *[]byte { return &p.Values }, 5},
		{"log", func(p *piece) *[]byte { return &p.Log }, 3},
	}
	for _, name := range names {
		base := all[name]
		for _, s := range sections {
			full := *s.of(&base)
			step := s.step * max(1, len(full)/1500)
			for at := rnd.IntN(step); at < len(full); at += step {
				p := base.clone()
				(*s.of(&p))[at] ^= 1 << rnd.IntN(8)
				ask(fmt.Sprintf("%s: %s: bit flipped at %d", name, s.name, at), p)
			}
			for range 24 {
				p := base.clone()
				b := s.of(&p)
				*b = (*b)[:rnd.IntN(len(full))]
				ask(fmt.Sprintf("%s: %s cut to %d", name, s.name, len(*b)), p)
			}
			for i, tail := range [][]byte{{0}, {0xff}, make([]byte, 16), full} {
				p := base.clone()
				b := s.of(&p)
				*b = append(*b, tail...)
				ask(fmt.Sprintf("%s: %s extended (%d)", name, s.name, i), p)
			}
			for range 16 {
				p := base.clone()
				b := *s.of(&p)
				from, to := rnd.IntN(len(b)), rnd.IntN(len(b))
				m := rnd.IntN(min(64, len(b)))
				copy(b[to:], b[from:min(from+m, len(b))])
				ask(fmt.Sprintf("%s: %s: %d bytes copied from %d to %d", name, s.name, m, from, to), p)
			}
			for range 16 {
				p := base.clone()
				b := s.of(&p)
				from := rnd.IntN(len(*b))
				*b = slices.Delete(*b, from, min(len(*b), from+1+rnd.IntN(40)))
				ask(fmt.Sprintf("%s: %s: bytes taken out at %d", name, s.name, from), p)
			}
			for _, other := range names {
				if other != name {
					o := all[other].clone()
					p := base.clone()
					*s.of(&p) = *s.of(&o)
					ask(fmt.Sprintf("%s: %s of %s", name, s.name, other), p)
				}
			}
		}
		for i := range base.Certificates {
			p := base.clone()
			p.Certificates = slices.Delete(p.Certificates, i, i+1)
			ask(fmt.Sprintf("%s: without certificate %d", name, i), p)
		}
		p := base.clone()
		p.nonce = []byte("another")
		ask(name+": another nonce", p)
		p = base.clone()
		p.root = all["fake RSA"].root
		if strings.HasPrefix(name, "fake") {
			p.root = server.GceEKRoots[0].Raw
		}
		ask(name+": another root", p)
	}

	// Whole machines that are signed again, one thing changed in each.
	for i, edit := range edits(rnd) {
		m := machine()
		if i%3 == 1 {
			m.Use(tpmtest.AttestationKey(tpmtest.RSA()))
		}
		edit.do(m)
		ask("signed again: "+edit.name, fake(m))
	}
	if n-panics < atLeast {
		t.Errorf("%d changes, want at least %d", n-panics, atLeast)
	}
	for r := range reasons {
		if used[r] == 0 {
			t.Errorf("nothing needs the reason %q", r)
		}
	}
	t.Logf("%d changes: both refuse %d, only ours %d %v, theirs panics on %d, is excused for %d, both take %d",
		n, both, onlyOurs, used, panics, excusedN, n-both-onlyOurs-panics-excusedN)
}

type edit struct {
	name string
	do   func(*tpmtest.Machine)
}

func edits(rnd *rand.Rand) (out []edit) {
	add := func(name string, do func(*tpmtest.Machine)) { out = append(out, edit{name, do}) }
	use := func(f func(*tpmtest.Key)) func(*tpmtest.Machine) {
		return func(m *tpmtest.Machine) { f(m.AK); m.Use(m.AK) }
	}
	for i := range 32 {
		add(fmt.Sprintf("attribute bit %d", i), use(func(k *tpmtest.Key) { k.Attributes ^= 1 << i }))
		add(fmt.Sprintf("magic bit %d", i), func(m *tpmtest.Machine) { m.Magic ^= 1 << i })
	}
	for i := range 16 {
		add(fmt.Sprintf("type bit %d", i), func(m *tpmtest.Machine) { m.Type ^= 1 << i })
		add(fmt.Sprintf("name algorithm bit %d", i), use(func(k *tpmtest.Key) { k.NameAlg ^= 1 << i }))
		add(fmt.Sprintf("bank bit %d", i), func(m *tpmtest.Machine) { m.Quoted[0].Bank ^= 1 << i })
	}
	for i := range 24 {
		add(fmt.Sprintf("register %d not selected", i), func(m *tpmtest.Machine) { m.Quoted[0].PCRs ^= 1 << i })
		add(fmt.Sprintf("something measured into %d without a word", i), func(m *tpmtest.Machine) {
			log := m.Log()
			m.Events = append(m.Events, tpmtest.Event{PCR: i, Type: 0x0d, Data: []byte("x")})
			m.EditParts = func(p *tpmdata.Parts) { p.Log = log }
		})
		add(fmt.Sprintf("something said and not measured into %d", i), func(m *tpmtest.Machine) {
			values, quote := m.Values(), m.Quote
			m.Digest = tpmtest.Sum(tpm.AlgSHA256, values)
			_ = quote
			m.Events = append(m.Events, tpmtest.Event{PCR: i, Type: 0x0d, Data: []byte("x")})
			m.EditParts = func(p *tpmdata.Parts) { p.Values = values }
		})
	}
	for i := range 15 {
		add(fmt.Sprintf("event %d left out of the log", i), func(m *tpmtest.Machine) {
			other := *m
			other.Events = slices.Delete(slices.Clone(m.Events), i, i+1)
			log := other.Log()
			m.EditParts = func(p *tpmdata.Parts) { p.Log = log }
		})
		add(fmt.Sprintf("event %d twice in the log", i), func(m *tpmtest.Machine) {
			other := *m
			other.Events = slices.Insert(slices.Clone(m.Events), i, m.Events[i])
			log := other.Log()
			m.EditParts = func(p *tpmdata.Parts) { p.Log = log }
		})
		add(fmt.Sprintf("data of event %d changed", i), func(m *tpmtest.Machine) {
			other := *m
			other.Events = slices.Clone(m.Events)
			other.Events[i].Digest = m.Events[i].Data
			other.Events[i].Data = append([]byte("no "), m.Events[i].Data...)
			log := other.Log()
			m.EditParts = func(p *tpmdata.Parts) { p.Log = log }
		})
		add(fmt.Sprintf("type of event %d changed", i), func(m *tpmtest.Machine) { m.Events[i].Type = uint32(rnd.IntN(0x14)) })
		add(fmt.Sprintf("register of event %d changed", i), func(m *tpmtest.Machine) { m.Events[i].PCR = rnd.IntN(24) })
	}
	long := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Unix(0, 0), time.Unix(1<<32, 0) }
	for name, f := range map[string]func(*x509.Certificate){
		"expired":         func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
		"not yet valid":   func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) },
		"an authority":    func(c *x509.Certificate) { c.IsCA = true },
		"no authority":    func(c *x509.Certificate) { c.IsCA = false },
		"for signing":     func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign },
		"for encryption":  func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment },
		"for nothing":     func(c *x509.Certificate) { c.KeyUsage = 0 },
		"another purpose": func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} },
		"a server's": func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		},
		"no path":          func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, c.IsCA },
		"critical unknown": func(c *x509.Certificate) { c.ExtraExtensions = critical("1.2.3.4") },
		"name of another":  func(c *x509.Certificate) { c.Subject.SerialNumber = strings.Repeat("00", 32) },
		"another name":     func(c *x509.Certificate) { c.Subject.CommonName = "Somebody" },
		"long":             long,
		"serial 0":         func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1 << 60) },
	} {
		add("leaf: "+name, func(m *tpmtest.Machine) { also(&m.Leaf, f) })
		add("intermediate: "+name, func(m *tpmtest.Machine) { also(&m.Middle, f) })
		add("root: "+name, func(m *tpmtest.Machine) { also(&m.Root, f) })
	}
	for name, f := range map[string]func(*tpmtest.Machine){
		"another key certified": func(m *tpmtest.Machine) { m.Certified = tpmtest.P256B().Public() },
		"another key signs": func(m *tpmtest.Machine) {
			k := tpmtest.AttestationKey(tpmtest.P256B())
			m.AfterSign = func(q, _ []byte) ([]byte, []byte) { return q, k.Sign(q) }
		},
		"RSAPSS": func(m *tpmtest.Machine) {
			k := tpmtest.AttestationKey(tpmtest.RSA())
			k.Scheme = tpm.AlgRSAPSS
			m.Use(k)
		},
		"other hash": func(m *tpmtest.Machine) {
			k := *m.AK
			k.Hash = tpm.AlgSHA384
			m.Digest = tpmtest.Sum(tpm.AlgSHA384, m.Values())
			m.AfterSign = func(q, _ []byte) ([]byte, []byte) { return q, k.Sign(q) }
		},
		"SHA-512":           use(func(k *tpmtest.Key) { k.Hash = tpm.AlgSHA512 }),
		"decrypting":        use(func(k *tpmtest.Key) { k.Attributes |= tpm.Decrypt }),
		"with a cipher":     use(func(k *tpmtest.Key) { k.Symmetric = tpmtest.EndorsementKey(nil).Symmetric }),
		"unsafe clock":      func(m *tpmtest.Machine) { m.Safe = 0 },
		"clock of another":  func(m *tpmtest.Machine) { m.Safe = 7 },
		"null hierarchy":    func(m *tpmtest.Machine) { m.Signer = m.AK.QualifiedName(tpm.HierarchyNull) },
		"no signer":         func(m *tpmtest.Machine) { m.Signer = nil },
		"signer is no name": func(m *tpmtest.Machine) { m.Signer = []byte{0, 4, 1} },
		"another signer":    func(m *tpmtest.Machine) { m.Signer = append([]byte{0, 0x0c}, make([]byte, 48)...) },
		"long nonce":        func(m *tpmtest.Machine) { m.Extra = make([]byte, 65) },
		"no nonce":          func(m *tpmtest.Machine) { m.Extra = nil },
		"zero digest":       func(m *tpmtest.Machine) { m.Digest = make([]byte, 32) },
		"short digest":      func(m *tpmtest.Machine) { m.Digest = m.Values()[:31] },
		"nothing selected":  func(m *tpmtest.Machine) { m.Quoted[0].PCRs = 0 },
		"no bank":           func(m *tpmtest.Machine) { m.Quoted = nil },
		"bank twice":        func(m *tpmtest.Machine) { m.Quoted = append(m.Quoted, m.Quoted[0]) },
		"two banks":         func(m *tpmtest.Machine) { m.Quoted = append(m.Quoted, tpm.Selection{Bank: tpm.AlgSHA384, PCRs: 1}) },
		"debug mode": func(m *tpmtest.Machine) {
			m.Events = slices.Insert(m.Events, 1, tpmtest.Event{PCR: 7, Type: 0x80000007, Data: []byte("UEFI Debug Mode")})
		},
		"Secure Boot on":    func(m *tpmtest.Machine) { m.Events[1].Data = tpmtest.Variable("SecureBoot", []byte{1}) },
		"Secure Boot twice": func(m *tpmtest.Machine) { m.Events = slices.Insert(m.Events, 1, m.Events[1]) },
		"locality 3": func(m *tpmtest.Machine) {
			m.Start = 3
			m.Events = slices.Insert(m.Events, 0, tpmtest.Event{Type: 3, Data: []byte("StartupLocality\x00\x03")})
		},
		"locality 3, not said": func(m *tpmtest.Machine) { m.Start = 3 },
		"locality 3, not so": func(m *tpmtest.Machine) {
			m.Events = slices.Insert(m.Events, 0, tpmtest.Event{Type: 3, Data: []byte("StartupLocality\x00\x03")})
		},
	} {
		add(name, f)
	}
	slices.SortFunc(out, func(a, b edit) int { return strings.Compare(a.name, b.name) }) // maps have no order
	return out
}

func critical(oid string) []pkix.Extension {
	var id asn1.ObjectIdentifier
	for _, part := range strings.Split(oid, ".") {
		id = append(id, int(part[0]-'0'))
	}
	return []pkix.Extension{{Id: id, Critical: true, Value: []byte{5, 0}}}
}
