// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tdx asks go-tdx-guest about the same evidence of Intel TDX that
// attest/tdx judges: a real quote with Intel's documents of its day, a real quote
// with its log of measured boot, and thousands of changes to the first and to a
// fake machine's.
package tdx

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tdx-guest/abi"
	"github.com/google/go-tdx-guest/pcs"
	tdxtesting "github.com/google/go-tdx-guest/testing"
	"github.com/google/go-tdx-guest/testing/testdata"
	"github.com/google/go-tdx-guest/validate"
	"github.com/google/go-tdx-guest/verify"
	"github.com/google/logger"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tdx/tdxdata"
	"github.com/sotto-chat/sotto/attest/tdx/tdxtest"
)

func TestMain(m *testing.M) {
	logger.Init("", false, false, io.Discard)
	os.Exit(m.Run())
}

// recorded is the day of Intel's documents in their module.
var recorded = time.Date(2023, 7, 1, 0, 0, 0, 0, time.UTC)

// module returns a file of their module that no package exports.
func module(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-tdx-guest").Output()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// evidence is a quote and all that belongs to it, in the parts of which both
// verifiers are given the same.
type evidence struct {
	quote, signing, tcbInfo, qeIdentity, pckCRL, rootCRL []byte
	now                                                  time.Time

	roots []cert.Root    // ours
	pool  *x509.CertPool // theirs
	fmspc string
	ca    []byte // certificates that only they want beside the documents, PEM
	root  []byte
}

// ours judges by attest/tdx and names what failed.
func (e *evidence) ours() (failed []string) {
	data := section.Append(nil, tdxdata.KindQuote, e.quote)
	data = section.Append(data, tdxdata.KindCertificate, e.signing)
	data = section.Append(data, tdxdata.KindTCBInfo, e.tcbInfo)
	data = section.Append(data, tdxdata.KindQEIdentity, e.qeIdentity)
	data = section.Append(data, tdxdata.KindCRL, e.pckCRL)
	data = section.Append(data, tdxdata.KindCRL, e.rootCRL)
	v := attest.Examine([]attest.Evidence{{Platform: tdx.Name, Data: data}}, nil, attest.Policy{}, e.now, tdx.Platform{Roots: e.roots})
	for _, r := range v.Checks {
		for _, c := range r.Parts {
			// What can't be read speaks of no key either, and says so a second time.
			if c.Status == attest.StatusFail && !(c.ID == "key.bound" && slices.Contains(failed, "chip.report")) {
				failed = append(failed, c.ID)
			}
		}
	}
	if len(failed) == 0 && v.State != attest.StateGenuine {
		failed = append(failed, v.State)
	}
	return failed
}

// theirs judges by go-tdx-guest: with collateral, and its checks of fields. Some
// lengths in a quote make it panic, which counts as a refusal.
func (e *evidence) theirs() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	chain := func(certs ...[]byte) map[string][]string {
		text := []string{url.QueryEscape(string(bytes.Join(certs, nil)))}
		return map[string][]string{
			pcs.TcbInfoIssuerChainPhrase: text, pcs.SgxQeIdentityIssuerChainPhrase: text, pcs.SgxPckCrlIssuerChainPhrase: text,
		}
	}
	signing := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.signing})
	getter := &tdxtesting.Getter{Responses: map[string]tdxtesting.HTTPResponse{
		pcs.TcbInfoURL(e.fmspc):   {Header: chain(signing, e.root), Body: e.tcbInfo},
		pcs.QeIdentityURL():       {Header: chain(signing, e.root), Body: e.qeIdentity},
		pcs.PckCrlURL("platform"): {Header: chain(e.ca, e.root), Body: e.pckCRL},
		"https://certificates.trustedservices.intel.com/IntelSGXRootCA.der": {Body: e.rootCRL},
	}}
	o := &verify.Options{
		CheckRevocations: true, GetCollateral: true, Getter: getter, TrustedRoots: e.pool,
		Now: &verify.TimeSet{PckCertChain: e.now, TcbInfo: e.now, QeIdentity: e.now, PckCrl: e.now, RootCaCrl: e.now},
	}
	quote, err := abi.QuoteToProto(e.quote)
	if err != nil {
		return err
	}
	if err := verify.TdxQuote(quote, o); err != nil {
		return err
	}
	return validate.TdxQuote(quote, &validate.Options{})
}

// real is the recorded quote with Intel's documents. Neither verifier finds it in
// order: its firmware is below every level of that list. All before that is right.
func real(t testing.TB) *evidence {
	t.Helper()
	text, err := url.QueryUnescape(tdxtesting.TcbInfoHeader[pcs.TcbInfoIssuerChainPhrase][0])
	if err != nil {
		t.Fatal(err)
	}
	signing, _ := pem.Decode([]byte(text))
	// Their recording ends in words that are no part of the quote.
	quote := testdata.RawQuote[:4935]
	certs := pemBlocks(quote[bytes.Index(quote, []byte("-----BEGIN")):])
	e := &evidence{
		quote: quote, signing: signing.Bytes, tcbInfo: bytes.TrimSpace(testdata.TcbInfoBody), qeIdentity: bytes.TrimSpace(testdata.QeIdentityBody),
		pckCRL: testdata.PckCrlBody, rootCRL: testdata.RootCrlBody, now: recorded,
		roots: tdx.Roots(), pool: x509.NewCertPool(), fmspc: "50806f000000", ca: certs[1], root: certs[2],
	}
	if !e.pool.AppendCertsFromPEM(module(t, "verify/trusted_root.pem")) {
		t.Fatal("no root")
	}
	return e
}

func pemBlocks(text []byte) (out [][]byte) {
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		out = append(out, pem.EncodeToMemory(b))
	}
	return out
}

// fake is a machine of the fake Intel's.
func fake(m *tdxtest.Machine) *evidence {
	e := &evidence{
		quote: m.Quote(), signing: m.DER(tdxtest.Signing), tcbInfo: m.Document("tcbInfo"), qeIdentity: m.Document("enclaveIdentity"),
		now: time.Unix(tdxtest.Now, 0), roots: tdxtest.Roots(), pool: x509.NewCertPool(),
		fmspc: hex.EncodeToString(m.FMSPC[:]), ca: m.Chain(tdxtest.CA), root: m.Chain(tdxtest.Root),
	}
	if len(m.Lists) > 0 {
		e.pckCRL = m.CRL(m.Lists[0])
	}
	if len(m.Lists) > 1 {
		e.rootCRL = m.CRL(m.Lists[1])
	}
	e.pool.AppendCertsFromPEM((&tdxtest.Machine{}).Chain(tdxtest.Root))
	return e
}

// TestRoot: the hash that we pin is of the root that they carry.
func TestRoot(t *testing.T) {
	b, _ := pem.Decode(module(t, "verify/trusted_root.pem"))
	c, err := cert.Parse(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := tdx.Roots(); len(got) != 1 || got[0].Key != c.KeyHash() || got[0].Name != c.SubjectName("2.5.4.3") {
		t.Errorf("roots %x, theirs %x", got, c.KeyHash())
	}
}

// belowAllLevels is what they say of the recorded quote, after all other checks of it.
const belowAllLevels = "no matching TCB level found"

func TestRecorded(t *testing.T) {
	e := real(t)
	if err := e.theirs(); err == nil || !strings.Contains(err.Error(), belowAllLevels) {
		t.Errorf("they say %v", err)
	}
	if got := e.ours(); !slices.Equal(got, []string{"chip.firmware"}) {
		t.Errorf("we say %v", got)
	}
}

// TestRecordedLog: a real log gives the registers of the real quote beside it, and
// each event that says what it measured says the truth.
func TestRecordedLog(t *testing.T) {
	quote, area := module(t, "testing/testdata/ccel/cos-113-tdx-quote.dat"), module(t, "testing/testdata/ccel/ccel_data.dat")
	judge := func(quote, area []byte) map[string]attest.Check {
		t.Helper()
		data, err := tdxdata.FromQuote(quote, nil, area)
		if err != nil {
			t.Fatal(err)
		}
		checks := map[string]attest.Check{}
		for _, c := range (tdx.Platform{}).Verify(data, attest.Claim{Unbound: true}, attest.Policy{}, time.Date(2024, 8, 1, 0, 0, 0, 0, time.UTC)).Checks {
			checks[c.ID] = c
		}
		return checks
	}
	checks := judge(quote, area)
	for id, want := range map[string]string{
		"chip.signature": "", "chip.attestation_key": "", "chip.enclave_signature": "", "chip.chain": "", "chip.log": "",
		"chip.revocation": attest.FailCollateralMissing, "chip.tcb_info": attest.FailCollateralMissing, "chip.qe_identity": attest.FailCollateralMissing,
	} {
		if c, ok := checks[id]; !ok || c.Failure != want {
			t.Errorf("%s: %+v", id, c)
		}
	}
	log, err := tcg.Trim(area)
	if err != nil || len(log) != 18101 {
		t.Fatalf("the log has %d bytes: %v", len(log), err)
	}
	l, err := tcg.Parse(log)
	if err != nil {
		t.Fatal(err)
	}
	covered := 0
	for i := range l.Events {
		if _, is, _ := l.Events[i].Measured(tcg.SHA384); is {
			covered++
		}
	}
	if len(l.Events) != 43 || covered < 30 {
		t.Errorf("%d events, %d of which say what they measured", len(l.Events), covered)
	}
	// Any byte of a digest or of data that a digest covers counts.
	for at := 65; at < len(log); at += 97 {
		bad := bytes.Clone(log)
		bad[at] ^= 1
		if _, err := tdxdata.FromQuote(quote, nil, bad); err != nil {
			continue // not a log any more
		}
		if c := judge(quote, bad)["chip.log"]; c.Status == attest.StatusOK && !uncovered(t, log, bad) {
			t.Errorf("byte %d of the log changed: %+v", at, c)
		}
	}
}

// uncovered reports whether two logs differ only in data that no digest is of.
func uncovered(t *testing.T, a, b []byte) bool {
	la, err1 := tcg.Parse(a)
	lb, err2 := tcg.Parse(b)
	if err1 != nil || err2 != nil || len(la.Events) != len(lb.Events) {
		return false
	}
	for i := range la.Events {
		x, y := la.Events[i], lb.Events[i]
		mx, _, okX := x.Measured(tcg.SHA384)
		my, _, okY := y.Measured(tcg.SHA384)
		if okY && (!okX || !bytes.Equal(mx, my)) || !bytes.Equal(x.Digest(tcg.SHA384), y.Digest(tcg.SHA384)) || x.Extends() != y.Extends() {
			return false
		}
	}
	return true
}

// stricter lists what we refuse and they accept, by the check that refuses, and why.
// TestChanges fails if it meets another one, or doesn't meet one of these.
var stricter = map[string]string{
	"chip.report":      "they pass over bytes after the quote",
	"chip.attributes":  "they accept performance counters, through which a host learns more than it should",
	"chip.debug":       "they accept debugging unless they are told otherwise; we never do",
	"chip.firmware":    "where a TDX module has levels of its own they ask only these; Intel's rules take the worse of module and platform",
	"chip.module":      "they compare a module with the identity outside Intel's list even where the list has one for its version",
	"chip.tcb_info":    "they accept documents from the future, and in the second in which they end",
	"chip.qe_identity": "the same",
	"chip.revocation":  "they accept revocation lists from the future, and in the second in which they end",
}

const changes = 10_000

func TestChanges(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	g := &generator{r: r, real: real(t), fake: fake(machine())}
	for _, e := range []*evidence{g.fake, fake(otherMachine())} {
		if err := e.theirs(); err != nil {
			t.Fatalf("they refuse a machine that is in order: %v", err)
		}
		if got := e.ours(); got != nil {
			t.Fatalf("we refuse a machine that is in order: %v", got)
		}
	}
	met, kinds, passed, both := map[string]int{}, map[string]int{}, map[string]int{}, 0
	for i := range changes {
		e, kind := g.next(i)
		kinds[kind]++
		errTheirs, failed := e.theirs(), e.ours()
		theyPass := errTheirs == nil || e.now.Year() < 2024 && strings.Contains(errTheirs.Error(), belowAllLevels)
		wePass := len(failed) == 0 || e.now.Year() < 2024 && slices.Equal(failed, []string{"chip.firmware"})
		switch {
		case wePass && !theyPass:
			t.Errorf("change %d (%s): they refuse it and we don't: %v", i, kind, errTheirs)
		case wePass:
			both++
			passed[kind]++
		case theyPass:
			for _, id := range failed {
				if stricter[id] == "" {
					t.Errorf("change %d (%s): we refuse by %s, they accept, and no reason is written down", i, kind, id)
				}
				met[id]++
			}
		}
	}
	for id := range stricter {
		if met[id] == 0 {
			t.Errorf("no change met the difference in %s", id)
		}
	}
	t.Logf("%d changes: %d passed both, we alone refused %v", changes, both, met)
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("%5d %s, %d of them still in order", kinds[k], k, passed[k])
	}
}

func machine() *tdxtest.Machine { return tdxtest.New([64]byte{1}) }

// otherMachine is of another model, with a module from before there was a list of
// them, as the recorded quote's.
func otherMachine() *tdxtest.Machine {
	m := tdxtest.New([64]byte{2})
	m.PPID[5], m.Instance[5], m.FMSPC[1] = 9, 9, 0xc0
	m.TCBInfo.FMSPC = hex.EncodeToString(m.FMSPC[:])
	m.Body.TEETCBSVN = [16]byte{7, 0, 7}
	m.TCBInfo.Levels[0].TCB.TDX = tdxtest.Numbers([16]byte{7, 0, 7})
	return m
}

// generator makes changed evidence.
type generator struct {
	r          *rand.Rand
	real, fake *evidence
}

func (g *generator) pick(e *evidence) *[]byte {
	parts := []*[]byte{&e.quote, &e.quote, &e.quote, &e.signing, &e.tcbInfo, &e.qeIdentity, &e.pckCRL, &e.rootCRL}
	return parts[g.r.Intn(len(parts))]
}

// base returns a copy of one of the two pieces.
func (g *generator) base() (*evidence, string) {
	e, name := *g.fake, "fake"
	if g.r.Intn(2) == 0 {
		e, name = *g.real, "real"
	}
	return &e, name
}

func (g *generator) next(i int) (*evidence, string) {
	switch i % 10 {
	case 0, 1, 2:
		e, name := g.base()
		p := g.pick(e)
		b := bytes.Clone(*p)
		for range 1 + g.r.Intn(2) {
			b[g.r.Intn(len(b))] ^= 1 << g.r.Intn(8)
		}
		*p = b
		return e, "flip " + name
	case 3:
		e, name := g.base()
		p := g.pick(e)
		*p = (*p)[:g.r.Intn(len(*p))]
		return e, "truncate " + name
	case 4:
		e, name := g.base()
		p := g.pick(e)
		add := make([]byte, 1+g.r.Intn(64))
		if g.r.Intn(3) > 0 {
			g.r.Read(add)
		}
		at := len(*p)
		if g.r.Intn(2) == 0 {
			at = g.r.Intn(at)
		}
		*p = slices.Concat((*p)[:at], add, (*p)[at:])
		return e, "extend " + name
	case 5:
		return g.swap()
	case 6:
		return g.resign()
	case 7, 8:
		return g.level()
	default:
		return g.time()
	}
}

// swap takes a part from elsewhere, or exchanges pieces of the quote.
func (g *generator) swap() (*evidence, string) {
	e, name := g.base()
	if g.r.Intn(2) == 0 {
		q := bytes.Clone(e.quote)
		n := []int{16, 32, 48, 64}[g.r.Intn(4)]
		a, b := g.r.Intn(len(q)/n)*n, g.r.Intn(len(q)/n)*n
		x, y := bytes.Clone(q[a:a+n]), bytes.Clone(q[b:b+n])
		copy(q[a:], y)
		copy(q[b:], x)
		e.quote = q
		return e, "swap inside " + name
	}
	other := g.real
	if name == "real" || g.r.Intn(2) == 0 {
		other = fake(otherMachine())
	}
	switch g.r.Intn(6) {
	case 0:
		e.quote, e.fmspc = other.quote, other.fmspc
	case 1:
		e.signing = other.signing
	case 2:
		e.tcbInfo = other.tcbInfo
	case 3:
		e.qeIdentity = other.qeIdentity
	case 4:
		e.pckCRL = other.pckCRL
	case 5:
		e.rootCRL = other.rootCRL
	}
	return e, "swap part of " + name
}

// resign has something signed by a key that has no business there.
func (g *generator) resign() (*evidence, string) {
	m := machine()
	all := []string{tdxtest.Root, tdxtest.CA, tdxtest.PCK, tdxtest.Signing, tdxtest.Attestation, tdxtest.OtherRoot}
	what := []string{"quote", "enclave", "tcbInfo", "enclaveIdentity", tdxtest.Root, tdxtest.CA, tdxtest.PCK, tdxtest.Signing}
	key := all[g.r.Intn(len(all))]
	switch g.r.Intn(4) {
	case 0:
		m.Lists[g.r.Intn(2)].Signer = key
	case 1:
		order := slices.Clone(all[:4])
		g.r.Shuffle(4, func(i, j int) { order[i], order[j] = order[j], order[i] })
		chain := m.Chain(order[:1+g.r.Intn(3)]...)
		m.Bytes = func(name string, b []byte) []byte {
			if name == "certificates" {
				return chain
			}
			return b
		}
	default:
		m.Signer[what[g.r.Intn(len(what))]] = key
	}
	return fake(m), "sign with another key"
}

// level changes one number or word that says how old something is, or a field.
func (g *generator) level() (*evidence, string) {
	m := machine()
	if g.r.Intn(3) == 0 {
		m = otherMachine()
	}
	nudge := func(b *byte) { *b = byte(int(*b) + g.r.Intn(5) - 2) }
	statuses := []string{"UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked", "Strange", ""}
	status := statuses[g.r.Intn(len(statuses))]
	kind := "firmware"
	switch n := g.r.Intn(16); n {
	case 0, 1:
		nudge(&m.Body.TEETCBSVN[g.r.Intn(16)])
	case 2:
		nudge(&m.SVN[g.r.Intn(16)])
	case 3:
		m.PCESVN += g.r.Intn(20) - 10
		m.PCESVN = max(m.PCESVN, 0)
	case 4:
		m.Enclave.SVN = uint16(g.r.Intn(9))
	case 5:
		m.TCBInfo.Levels[g.r.Intn(2)].Status = status
	case 6:
		m.TCBInfo.Modules[g.r.Intn(2)].Levels[0].Status = status
	case 7:
		m.QEIdentity.Levels[g.r.Intn(2)].Status = status
	case 8:
		m.TCBInfo.Levels[0].TCB.TDX[g.r.Intn(16)].SVN += g.r.Intn(3)
	case 9:
		m.TCBInfo.Levels[0].TCB.SGX[g.r.Intn(16)].SVN += g.r.Intn(3)
	case 10:
		nudge(&m.FMSPC[g.r.Intn(6)])
	case 11:
		nudge(&m.PCEID[g.r.Intn(2)])
	default:
		kind = "field"
		b := &m.Body
		fields := [][]byte{b.SEAMAttributes[:], b.Attributes[:], b.Attributes[:], b.XFAM[:], b.MRSignerSEAM[:], m.Enclave.Attributes[:], m.Enclave.MiscSelect[:], m.Enclave.MRSigner[:]}
		f := fields[g.r.Intn(len(fields))]
		f[g.r.Intn(len(f))] ^= 1 << g.r.Intn(8)
		switch g.r.Intn(12) {
		case 0:
			m.Enclave.ProdID++
		case 1:
			m.TCBInfo.Module.MRSigner = strings.Repeat("11", 48)
			for i := range m.TCBInfo.Modules {
				m.TCBInfo.Modules[i].MRSigner = m.TCBInfo.Module.MRSigner
			}
		case 2:
			m.TCBInfo.Modules[1].MRSigner = strings.Repeat("11", 48)
			b.SEAMAttributes, b.Attributes = [8]byte{}, [8]byte{}
		}
	}
	return fake(m), "change one " + kind
}

// time changes when all is judged, when something ends, or what was revoked.
func (g *generator) time() (*evidence, string) {
	m := machine()
	switch g.r.Intn(4) {
	case 0:
		e, name := g.base()
		span := []int64{0, 1, 3600, 86400, 864000, 1 << 25, 1 << 28, 1 << 29}[g.r.Intn(8)]
		e.now = e.now.Add(time.Duration(g.r.Int63n(2*span+1)-span) * time.Second)
		// Intel's documents end in one second, and the fake's lists in another.
		if g.r.Intn(3) == 0 && name == "fake" {
			ends := []int64{tdxtest.Now + 86400, tdxtest.Now + 864000, tdxtest.Now - 86400}
			e.now = time.Unix(ends[g.r.Intn(3)]+int64(g.r.Intn(3)-1), 0)
		}
		if name == "real" && e.now.Year() >= 2024 {
			e.now = e.now.AddDate(2023-e.now.Year(), 0, 0)
		}
		return e, "another time " + name
	case 1:
		dates := []string{"2027-01-10T08:00:00Z", "2027-01-15T07:59:59Z", "2027-01-15T08:00:00Z", "2027-01-15T08:00:01Z", "2026-01-10T08:00:00Z", "2028-01-10T08:00:00Z", "", "2027-13-10T08:00:00Z"}
		d := dates[g.r.Intn(len(dates))]
		switch g.r.Intn(4) {
		case 0:
			m.TCBInfo.Issued = d
		case 1:
			m.TCBInfo.Next = d
		case 2:
			m.QEIdentity.Issued = d
		default:
			m.QEIdentity.Next = d
		}
		return fake(m), "expire a document"
	case 2:
		l := &m.Lists[g.r.Intn(2)]
		d := []int64{-86400, -1, 0, 1, 86400, 1 << 25}
		l.ThisUpdate = tdxtest.Now + d[g.r.Intn(len(d))]
		l.NextUpdate = l.ThisUpdate + int64(g.r.Intn(3*86400))
		return fake(m), "expire a list"
	default:
		names := []string{tdxtest.Root, tdxtest.CA, tdxtest.PCK, tdxtest.Signing}
		l := &m.Lists[g.r.Intn(2)]
		for range 1 + g.r.Intn(3) {
			l.Revoked = append(l.Revoked, tdxtest.Serial(names[g.r.Intn(4)]))
		}
		return fake(m), "revoke"
	}
}
