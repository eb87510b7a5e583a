// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

// change returns b with other bytes from at on.
func change(b []byte, at int, with ...byte) []byte {
	return append(append(bytes.Clone(b[:at]), with...), b[at+len(with):]...)
}

// insert returns b with bytes put in.
func insert(b []byte, at int, with ...byte) []byte { return slices.Insert(bytes.Clone(b), at, with...) }

// quotes of the fake machine: magic 4, type 2, signer 2+34, extra 2+32, clock 8,
// counters 8, safe 1, firmware 8, count 4, selection 2+1+3, digest 2+32.
func quote() []byte {
	m := tpmtest.New()
	m.Extra = make([]byte, 32)
	return m.Quote()
}

func TestParseQuote(t *testing.T) {
	good := quote()
	q, err := tpm.ParseQuote(good)
	if err != nil {
		t.Fatal(err)
	}
	want := tpmtest.New()
	if !bytes.Equal(q.QualifiedSigner, want.Signer) || len(q.ExtraData) != 32 || q.Clock != want.Clock || q.ResetCount != want.Resets ||
		q.RestartCount != want.Restarts || !q.Safe || q.Firmware != want.Firmware || !slices.Equal(q.Selections, want.Quoted) || len(q.Digest) != 32 {
		t.Errorf("%+v", q)
	}
	for n := range good {
		if _, err := tpm.ParseQuote(good[:n]); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	const signer, extra, safe, selections = 6, 42, 92, 101
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"not a TPM's":             {change(good, 0, 0xfe), "wasn't made by a TPM"},
		"another thing":           {change(good, 5, 0x17), "something else than a quote"},
		"no signer":               {change(slices.Delete(bytes.Clone(good), signer+2, signer+36), signer+1, 0), "not a name"},
		"signer of a byte":        {change(slices.Delete(bytes.Clone(good), signer+3, signer+36), signer+1, 1), "not a name"},
		"short signer":            {change(slices.Delete(bytes.Clone(good), signer+35, signer+36), signer+1, 33), "not a name"},
		"signer of no hash":       {change(good, signer+2, 0, 1), "not a name"},
		"signer that is a handle": {change(slices.Delete(bytes.Clone(good), signer+4, signer+36), signer+1, 2, 0x40, 0), "not a name"},
		"long nonce":              {change(insert(good, extra+2, make([]byte, 33)...), extra, 0, 65), "nonce is longer"},
		"safe is a number":        {change(good, safe, 2), "neither safe nor unsafe"},
		"no bank":                 {change(slices.Delete(bytes.Clone(good), selections+4, selections+10), selections+3, 0), "no bank"},
		"selection of two":        {change(slices.Delete(bytes.Clone(good), selections+9, selections+10), selections+6, 2), "not of 24 registers"},
		"selection of four":       {change(insert(good, selections+9, 0), selections+6, 4), "not of 24 registers"},
		"unknown bank":            {change(good, selections+4, 0, 0x27), "bank that is not known"},
		"bank twice":              {change(insert(good, selections+10, good[selections+4:selections+10]...), selections+3, 2), "bank twice"},
		"trailing byte":           {append(bytes.Clone(good), 0), "bytes follow"},
	} {
		if _, err := tpm.ParseQuote(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// As many as fit.
	if q, err := tpm.ParseQuote(change(insert(good, extra+2, make([]byte, 32)...), extra, 0, 64)); err != nil || len(q.ExtraData) != 64 {
		t.Errorf("a nonce of 64 bytes: %v", err)
	}
	if q, err := tpm.ParseQuote(change(good, safe, 0)); err != nil || q.Safe {
		t.Errorf("an unsafe clock: %v", err)
	}
	for _, bank := range []byte{4, 0x0b, 0x0c, 0x0d, 0x12} {
		if _, err := tpm.ParseQuote(change(good, selections+5, bank)); err != nil {
			t.Errorf("bank %x: %v", bank, err)
		}
	}
}

func TestParseSignature(t *testing.T) {
	ec := tpmtest.AttestationKey(tpmtest.P256A()).Sign([]byte("x"))
	rsa := tpmtest.AttestationKey(tpmtest.RSA()).Sign([]byte("x"))
	for _, good := range [][]byte{ec, rsa, change(rsa, 0, 0, 0x16)} {
		s, err := tpm.ParseSignature(good)
		if err != nil {
			t.Fatal(err)
		}
		if s.Scheme != binary.BigEndian.Uint16(good) || s.Hash != tpm.AlgSHA256 || len(s.RSA)+len(s.R)+len(s.S) < 60 {
			t.Errorf("%+v", s)
		}
		for n := range good {
			if _, err := tpm.ParseSignature(good[:n]); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Fatalf("%d of %d bytes: %v", n, len(good), err)
			}
		}
		if _, err := tpm.ParseSignature(append(bytes.Clone(good), 0)); err == nil || !strings.Contains(err.Error(), "bytes follow") {
			t.Errorf("trailing byte: %v", err)
		}
		if _, err := tpm.ParseSignature(change(good, 0, 0, 0x1a)); err == nil || !strings.Contains(err.Error(), "of a kind") {
			t.Errorf("ECDAA: %v", err)
		}
	}
}

func TestParsePublic(t *testing.T) {
	ec, rsa, ek := tpmtest.AttestationKey(tpmtest.P256A()), tpmtest.AttestationKey(tpmtest.RSA()), tpmtest.EndorsementKey(tpmtest.RSA())
	for _, k := range []*tpmtest.Key{ec, rsa, ek, long(tpmtest.P384()), long(tpmtest.RSA()), tpmtest.EndorsementKey(tpmtest.P256A())} {
		good := k.Public()
		p, err := tpm.ParsePublic(good)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Name(), k.Name()) || !bytes.Equal(p.QualifiedName(tpm.HierarchyOwner), k.QualifiedName(tpm.HierarchyOwner)) ||
			p.Attributes != k.Attributes || p.Scheme != k.Scheme || p.NameAlg != k.NameAlg {
			t.Errorf("%+v", p)
		}
		if p.Vouches() == p.Endorses() || p.Endorses() != (k.Attributes&tpm.Decrypt != 0) {
			t.Errorf("%+v vouches %v, endorses %v", k, p.Vouches(), p.Endorses())
		}
		for n := range good {
			if _, err := tpm.ParsePublic(good[:n]); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Fatalf("%d of %d bytes: %v", n, len(good), err)
			}
		}
		if _, err := tpm.ParsePublic(append(bytes.Clone(good), 0)); err == nil || !strings.Contains(err.Error(), "bytes follow") {
			t.Errorf("trailing byte: %v", err)
		}
	}
	// type 2, name 2, attributes 4, policy 2, symmetric 2, scheme 2+2, then
	// curve 2, kdf 2, x 2+32, y 2+32, or bits 2, exponent 4, modulus 2+256.
	e, r, k := ec.Public(), rsa.Public(), ek.Public() // the EK has a policy of 32 bytes, and symmetric 2+2+2
	const rest = 16
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"symmetric key":       {change(e, 0, 0, 0x25), "neither RSA nor ECC"},
		"named by SHA-1":      {change(e, 2, 0, 4), "named by a hash"},
		"unknown attribute":   {change(e, 4, 0x80), "attributes that are not known"},
		"reserved attribute":  {change(e, 7, e[7]|1), "attributes that are not known"},
		"short policy":        {change(insert(e, 10, 1, 2, 3), 9, 3), "access rule"},
		"policy of SHA-384":   {change(insert(e, 10, make([]byte, 48)...), 9, 48), "access rule"},
		"unknown cipher":      {change(k, 42, 0, 0x26), "protects others"},
		"AES-192":             {change(k, 44, 0, 192), "protects others"},
		"AES in another mode": {change(k, 46, 0, 0x44), "protects others"},
		"ECDAA":               {change(e, 12, 0, 0x1a), "signs in a way"},
		"RSA with ECDSA":      {change(r, 12, 0, 0x18), "signs in a way"},
		"ECC with RSASSA":     {change(e, 12, 0, 0x14), "signs in a way"},
		"unknown curve":       {change(e, rest, 0, 5), "curve that is not known"},
		"KDF":                 {change(e, rest+2, 0, 0x20), "derives others"},
		"long x":              {change(insert(e, rest+6, 0), rest+5, 33), "wrong length"},
		"long y":              {change(insert(e, rest+40, 0), rest+39, 33), "wrong length"},
		"not on the curve":    {change(e, rest+6, e[rest+6]^1), "not on its curve"},
		"P-256 as P-384":      {change(e, rest, 0, 4), "not on its curve"},
		"exponent 3":          {change(r, rest+5, 3), "exponent"},
		"1,024 bits":          {change(slices.Delete(bytes.Clone(r), rest+8, rest+8+128), rest, 4, 0, 0, 0, 0, 0, 0, 128), "not an RSA key"},
		"bits that aren't":    {change(r, rest, 12, 0), "wrong length"},
		"odd number of bits":  {change(r, rest+1, 4), "wrong length"},
		"small modulus":       {change(r, rest+8, 0x7f), "not an RSA key"},
	} {
		if _, err := tpm.ParsePublic(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, b := range map[string][]byte{
		"exponent as a number": change(r, rest+2, 0, 1, 0, 1),
		"AES-256":              change(k, 44, 1, 0),
		"policy":               change(insert(e, 10, make([]byte, 32)...), 9, 32),
		"any scheme":           change(slices.Delete(bytes.Clone(e), 14, 16), 12, 0, 0x10),
	} {
		if _, err := tpm.ParsePublic(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestShortPoint: some TPMs leave leading zeros of coordinates out.
func TestShortPoint(t *testing.T) {
	b := tpmtest.AttestationKey(tpmtest.P256A()).Public()
	const rest = 16
	// 2^-1 G and its like are hard to come by: a point with x = 0 is not, on P-256
	// y² = b.
	y, err := hex.DecodeString("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4")
	if err != nil {
		t.Fatal(err)
	}
	full := change(change(b, rest+6, make([]byte, 32)...), rest+40, y...)
	p, err := tpm.ParsePublic(full)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 32 {
		short := change(slices.Delete(bytes.Clone(full), rest+6, rest+6+32-n), rest+5, byte(n))
		q, err := tpm.ParsePublic(short)
		if err != nil || !bytes.Equal(p.X, q.X) || !bytes.Equal(p.Y, q.Y) {
			t.Errorf("x of %d bytes: %v", n, err)
		}
	}
}

func TestEndorsesAndVouches(t *testing.T) {
	for _, k := range []*tpmtest.Key{tpmtest.AttestationKey(tpmtest.P256A()), tpmtest.EndorsementKey(tpmtest.P256A())} {
		for _, bit := range []uint32{tpm.FixedTPM, tpm.FixedParent, tpm.SensitiveDataOrigin, tpm.EncryptedDuplication, tpm.Restricted, tpm.Decrypt, tpm.Sign, tpm.X509Sign} {
			c := *k
			c.Attributes ^= bit
			p, err := tpm.ParsePublic(c.Public())
			if err != nil {
				t.Fatal(err)
			}
			if p.Vouches() || p.Endorses() {
				t.Errorf("attributes %x: vouches %v, endorses %v", c.Attributes, p.Vouches(), p.Endorses())
			}
		}
	}
	k := tpmtest.EndorsementKey(tpmtest.P256A())
	k.Symmetric = []byte{0, tpm.AlgNull}
	if p, err := tpm.ParsePublic(k.Public()); err != nil || p.Endorses() {
		t.Errorf("endorses without a cipher: %v", err)
	}
	k = tpmtest.EndorsementKey(tpmtest.P256A())
	k.Scheme, k.Hash = tpm.AlgECDSA, tpm.AlgSHA256
	if p, err := tpm.ParsePublic(k.Public()); err != nil || p.Endorses() {
		t.Errorf("endorses and has a scheme: %v", err)
	}
}

// TestVerifySignature: a signature of another kind than the key is none.
func TestVerifySignature(t *testing.T) {
	msg := []byte("message")
	ec, rsa := tpmtest.AttestationKey(tpmtest.P256A()), tpmtest.AttestationKey(tpmtest.RSA())
	ecPub, _ := tpm.ParsePublic(ec.Public())
	rsaPub, _ := tpm.ParsePublic(rsa.Public())
	ecSig, _ := tpm.ParseSignature(ec.Sign(msg))
	rsaSig, _ := tpm.ParseSignature(rsa.Sign(msg))
	pssSig, _ := tpm.ParseSignature(pss().Sign(msg))
	for _, tt := range []struct {
		p    *tpm.Public
		s    *tpm.Signature
		want bool
	}{{ecPub, ecSig, true}, {rsaPub, rsaSig, true}, {rsaPub, pssSig, true}, {ecPub, rsaSig, false}, {ecPub, pssSig, false}, {rsaPub, ecSig, false}} {
		if got := tt.p.Verify(msg, tt.s); got != tt.want {
			t.Errorf("%x with a key of type %x: %v", tt.s.Scheme, tt.p.Type, got)
		}
		if tt.p.Verify([]byte("another"), tt.s) {
			t.Errorf("%x: of another message", tt.s.Scheme)
		}
		for _, hash := range []uint16{tpm.AlgSHA1, tpm.AlgSHA384, tpm.AlgSHA512} {
			s := *tt.s
			s.Hash = hash
			if tt.p.Verify(msg, &s) {
				t.Errorf("%x with hash %x", s.Scheme, hash)
			}
		}
	}
}

// TestMalformed: what can't be read is said so, and nothing else.
func TestMalformed(t *testing.T) {
	for name, edit := range map[string]func(*tpmdata.Parts){
		"no quote":          func(p *tpmdata.Parts) { p.Quote = nil },
		"quote":             func(p *tpmdata.Parts) { p.Quote = p.Quote[1:] },
		"signature":         func(p *tpmdata.Parts) { p.Signature = p.Signature[1:] },
		"key":               func(p *tpmdata.Parts) { p.Public = p.Public[1:] },
		"certificate":       func(p *tpmdata.Parts) { p.Certificates[2] = p.Certificates[2][1:] },
		"revocation list":   func(p *tpmdata.Parts) { p.CRLs[1] = p.CRLs[1][1:] },
		"registers":         func(p *tpmdata.Parts) { p.Values = p.Values[1:] },
		"no registers":      func(p *tpmdata.Parts) { p.Values = nil },
		"one register more": func(p *tpmdata.Parts) { p.Values = append(p.Values, make([]byte, 32)...) },
		"log":               func(p *tpmdata.Parts) { p.Log = p.Log[1:] },
		"two quotes":        func(p *tpmdata.Parts) { p.Quote = append(p.Quote, 0) },
		"too many certificates": func(p *tpmdata.Parts) {
			for range 6 {
				p.Certificates = append(p.Certificates, p.Certificates[0])
			}
		},
	} {
		m := tpmtest.New()
		m.EditParts = edit
		a := judge(m, policy(m, nil), tpmtest.Now)
		if strings.Join(failures(a), ", ") != "chip.report evidence_malformed, key.bound evidence_malformed" || a.Chip != "" {
			t.Errorf("%s: %+v", name, a)
		}
		if name == "no quote" && !strings.Contains(a.Checks[0].Detail, "“quote” is missing") {
			t.Errorf("%s: %+v", name, a)
		}
		p := m.Parts()
		if _, err := tpm.Describe(p.Append(nil)); err == nil {
			t.Errorf("%s: Describe says nothing", name)
		}
	}
}

func TestPolicyMalformed(t *testing.T) {
	hex32, hex48 := strings.Repeat("ab", 32), strings.Repeat("ab", 48)
	for _, raw := range []string{
		`null`, `[]`, `{"x":1}`, `{} {}`, `{"roots":"` + hex32 + `"}`,
		`{"roots":["ab"]}`, `{"roots":["` + hex32 + `","` + strings.ToUpper(hex32) + `"]}`, `{"roots":["` + strings.Repeat("xy", 32) + `"]}`,
		`{"keys":["` + hex32 + `"]}`, `{"keys":["000c` + hex32 + `"]}`, `{"keys":["000b` + hex48 + `"]}`, `{"keys":["0004` + hex32 + `"]}`, `{"keys":["000d` + hex48 + `"]}`,
		`{"keys":["000b` + hex32 + `",""]}`,
		`{"min_firmware":"12"}`, `{"min_firmware":"x020010100060025"}`, `{"min_firmware":7}`,
		`{"hierarchy":"null"}`, `{"hierarchy":"Owner"}`,
		`{"resets":-1}`, `{"resets":4294967296}`, `{"max_restarts":"1"}`,
		`{"quoted":[{"bank":"sha1","pcrs":[0]}]}`, `{"quoted":[{"pcrs":[0]}]}`, `{"quoted":[{"bank":"sha256","pcrs":[24]}]}`, `{"quoted":[{"bank":"sha256","pcrs":[0,-1]}]}`,
		`{"pcrs":[{"bank":"sha1","pcr":0,"values":["` + strings.Repeat("ab", 20) + `"]}]}`, `{"pcrs":[{"bank":"sha256","pcr":24,"values":["` + hex32 + `"]}]}`,
		`{"pcrs":[{"bank":"sha256","pcr":-1,"values":["` + hex32 + `"]}]}`, `{"pcrs":[{"bank":"sha256","pcr":0,"values":[]}]}`, `{"pcrs":[{"bank":"sha256","pcr":0}]}`,
		`{"pcrs":[{"bank":"sha256","pcr":0,"values":["` + hex32 + `","` + hex48 + `"]}]}`, `{"pcrs":[{"bank":"sha384","pcr":0,"values":["` + hex32 + `"]}]}`,
		`{"pcrs":[{"bank":"","pcr":0,"values":[""]}]}`,
		`{"events":[{"bank":"sha256","pcr":0,"begin":[]}]}`, `{"events":[{"bank":"sha256","pcr":0,"begin":[[]]}]}`, `{"events":[{"bank":"sha256","pcr":0,"begin":[["` + hex32 + `"],["ab"]]}]}`,
		`{"events":[{"bank":"sha256","pcr":24,"begin":[["` + hex32 + `"]]}]}`, `{"events":[{"bank":"sha512","pcr":0,"begin":[["` + hex32 + `"]]}]}`,
		`{"events":[{"bank":"sha256","pcr":16,"begin":[["` + hex32 + `"]]}]}`, `{"events":[{"bank":"sha256","pcr":23,"begin":[["` + hex32 + `"]]}]}`,
		`{"pcrs":[{"bank":"sha256","pcr":16,"values":["` + hex32 + `"]}]}`, `{"pcrs":[{"bank":"sha256","pcr":23,"values":["` + hex32 + `"]}]}`,
		`{"unlogged":[24]}`, `{"unlogged":[-1]}`, `{"locality":"0"}`,
	} {
		p := attest.Policy{Platforms: map[string]json.RawMessage{tpm.Name: json.RawMessage(raw)}}
		a := judge(tpmtest.New(), p, tpmtest.Now)
		if strings.Join(failures(a), ", ") != "chip.policy policy_malformed, key.bound policy_malformed" {
			t.Errorf("%s: %v", raw, failures(a))
		}
	}
	for _, raw := range []string{
		`{}`, `{"roots":[],"keys":["000b` + hex32 + `","000c` + hex48 + `"]}`, `{"events":[{"bank":"sha512","pcr":22,"begin":[["` + hex32 + hex32 + `"]]}]}`,
		`{"quoted":[{"bank":"sha512","pcrs":[]}],"unlogged":[0,16,23],"hierarchy":"platform","resets":0}`,
	} {
		p := attest.Policy{Platforms: map[string]json.RawMessage{tpm.Name: json.RawMessage(raw)}}
		if a := judge(tpmtest.New(), p, tpmtest.Now); strings.Contains(strings.Join(failures(a), ""), "policy_malformed") {
			t.Errorf("%s is refused", raw)
		}
	}
}

// TestWithoutPolicy: evidence alone is trusted by nobody, and pins nothing.
func TestWithoutPolicy(t *testing.T) {
	a := judge(tpmtest.New(), attest.Policy{}, tpmtest.Now)
	if got := strings.Join(failures(a), ", "); got != "chip.chain chain_untrusted" {
		t.Errorf("failed: %s", got)
	}
	if c := check(a, "software.measurement"); c.Status != attest.StatusWarn {
		t.Errorf("%+v", c)
	}
	for _, c := range a.Checks {
		if strings.HasPrefix(c.ID, "software.") && c.Status == attest.StatusOK {
			t.Errorf("without a policy %+v", c)
		}
	}
}

func TestPlatformRoots(t *testing.T) {
	m := tpmtest.New()
	p := policy(m, func(r map[string]any) { delete(r, "roots") })
	a := tpm.Platform{Roots: tpmtest.Roots()}.Verify(m.Evidence(claim.Nonce(tpm.Name)), claim, p, tpmtest.Now)
	if got := failures(a); len(got) > 0 {
		t.Errorf("failed: %v", got)
	}
}

func TestNonce(t *testing.T) {
	m := tpmtest.New()
	a := tpm.Platform{}.Verify(m.Evidence([32]byte{1}), claim, policy(m, nil), tpmtest.Now)
	if got := strings.Join(failures(a), ", "); got != "key.bound key_not_bound" {
		t.Errorf("another nonce: %s", got)
	}
	// The nonce of another platform.
	a = tpm.Platform{}.Verify(m.Evidence(claim.Nonce("snp")), claim, policy(m, nil), tpmtest.Now)
	if got := strings.Join(failures(a), ", "); got != "key.bound key_not_bound" {
		t.Errorf("another platform's nonce: %s", got)
	}
}

// TestWarnings: what is true and worth saying.
func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*tpmtest.Machine)
		want string
	}{
		"no lists":      {func(m *tpmtest.Machine) { m.CRLs = false }, "chip.revocation"},
		"no log":        {func(m *tpmtest.Machine) { m.WithoutLog = true }, "chip.log"},
		"below a key":   {in(0x81000001), "chip.signer"},
		"no register 7": {func(m *tpmtest.Machine) { m.Quoted[0].PCRs &^= 1 << 7 }, "chip.debug"},
		"hidden firmware": {func(m *tpmtest.Machine) {
			m.Events[2] = tpmtest.Event{PCR: 7, Type: 0x0d, Data: []byte("hello"), Digest: []byte("else")}
		}, "chip.events chip.debug"},
	} {
		m := tpmtest.New()
		c.edit(m)
		a := judge(m, policy(m, nil), tpmtest.Now)
		var warned []string
		for _, k := range a.Checks {
			if k.Status != attest.StatusOK {
				warned = append(warned, k.ID)
			}
		}
		if strings.Join(warned, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, warned, c.want)
		}
	}
	m := tpmtest.New()
	weak(m)
	a := judge(m, policy(m, func(r map[string]any) { delete(r, "pcrs") }), tpmtest.Now)
	if c := check(a, "chip.log"); c.Status != attest.StatusWarn {
		t.Errorf("%+v", c)
	}
}

// TestBundle goes through the frame.
func TestBundle(t *testing.T) {
	config, err := attest.KeyConfig{
		V: 1, Node: strings.Repeat("0a", 16), Suite: attest.Suite, PublicKey: bytes.Repeat([]byte{7}, attest.PublicKeySize),
		NotBefore: tpmtest.Now.Unix() - 60, NotAfter: tpmtest.Now.Unix() + 840, Release: "none", Models: []attest.Model{{ID: "m", Digest: "none"}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m := tpmtest.New()
	data := m.Evidence(attest.Claim{ReportData: attest.ReportData(config)}.Nonce(tpm.Name))
	doc, err := attest.Bundle{V: 1, KeyConfig: config, Evidence: []attest.Evidence{{Platform: tpm.Name, Data: data}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if key, v := attest.Verify(doc, policy(m, nil), tpmtest.Now, tpm.Platform{}); key == nil || v.State != attest.StateVerified || v.Chip == "" {
		t.Errorf("%+v", v)
	}
	if key, v := attest.Verify(doc, attest.Policy{Platforms: policy(m, nil).Platforms}, tpmtest.Now, tpm.Platform{}); key != nil || v.Failure != attest.FailEvidenceIncomplete {
		t.Errorf("not told that this is enough: %s %s", v.State, v.Failure)
	}
	unpinned := policy(m, func(r map[string]any) { delete(r, "pcrs") })
	if key, v := attest.Verify(doc, unpinned, tpmtest.Now, tpm.Platform{}); key != nil || v.Failure != attest.FailEvidenceIncomplete {
		t.Errorf("nothing pinned: %s %s", v.State, v.Failure)
	}
	if key, v := attest.Verify(doc, policy(m, nil), tpmtest.Now.Add(-48*time.Hour), tpm.Platform{}); key != nil || v.State == attest.StateVerified {
		t.Errorf("before its time: %s", v.State)
	}
	v := attest.Examine([]attest.Evidence{{Platform: tpm.Name, Data: data}}, nil, unpinned, tpmtest.Now, tpm.Platform{})
	if v.State != attest.StateGenuine {
		t.Errorf("raw: %s %s", v.State, v.Failure)
	}
}

func TestDescribe(t *testing.T) {
	m := tpmtest.New()
	locality(3)(m)
	for _, bank := range []uint16{tpm.AlgSHA1, tpm.AlgSHA384, tpm.AlgSHA512, tpm.AlgSM3} {
		m.Quoted = append(m.Quoted, tpm.Selection{Bank: bank})
	}
	m.Safe = 0
	m.Events = append(m.Events,
		tpmtest.Event{PCR: 7, Type: 0x80000001, Data: []byte("changed"), Digest: []byte("measured")},
		tpmtest.Event{PCR: 8, Type: 0x0d, Data: []byte("\x00a\x1f \x7e\x7fz\xff")})
	want := map[string]string{
		"resetCount": "5", "restartCount": "2", "safe": "NO", "clock": "123456", "firmwareVersion": "2020010100060024",
		"pcrSelect.sha256": "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23", "pcrSelect.sha1": "none", "pcrSelect.sha384": "none", "pcrSelect.sha512": "none", "pcrSelect.sm3": "none",
		"signature": "ECDSA with sha256", "key": "P-256", "key.hierarchy": "endorsement",
		"key.objectAttributes": "fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign",
		"certificate[1]":       "Fake TPM Intermediate", "PCR17.sha256": strings.Repeat("ff", 32), "crl[1]": "from 2027-01-15 to 2027-01-15",
	}
	fields, err := tpm.Describe(m.Evidence([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	meanings := map[string]string{
		"event[1].PCR0": "NO_ACTION, not measured", "event[9].PCR11": "IPL, “ro quiet”", "event[7].PCR4": "EFI_BOOT_SERVICES_APPLICATION",
		"event[11].PCR7": "EFI_VARIABLE_DRIVER_CONFIG, whose data was changed", "event[12].PCR8": "IPL, “a. ~.z.”",
		"PCR0.sha256": "the firmware", "PCR11.sha256": "the parts of a unified kernel image", "PCR23.sha256": "for applications to use",
	}
	events := 0
	for _, f := range fields {
		if w, ok := want[f.Name]; ok && w != f.Value {
			t.Errorf("%s = %q, want %q", f.Name, f.Value, w)
		}
		delete(want, f.Name)
		if strings.HasPrefix(f.Name, "event[") {
			events++
		}
		if f.Name == "" || f.Value == "" && f.Name != "certificate[0]" {
			t.Errorf("%+v", f)
		}
		if w, ok := meanings[f.Name]; ok && w != f.Meaning {
			t.Errorf("%+v, want %q", f, w)
		}
		delete(meanings, f.Name)
	}
	if len(meanings) > 0 {
		t.Errorf("missing: %v", meanings)
	}
	if len(want) > 0 || events != len(m.Events) {
		t.Errorf("missing: %v, %d events", want, events)
	}
	m.Extra = make([]byte, 32)
	raw, err := tpm.Describe(m.Quote())
	if err != nil || len(raw) == 0 || len(raw) >= len(fields) {
		t.Errorf("raw: %d fields, %v", len(raw), err)
	}
	if _, err := tpm.Describe(m.Quote()[:20]); err == nil {
		t.Error("a quote that is cut off is described")
	}
	if _, err := tpm.Describe(nil); err == nil || !strings.Contains(err.Error(), "“quote” is missing") {
		t.Errorf("nothing: %v", err)
	}
	if _, err := tpm.Describe(m.Quote()[:4]); err == nil || !strings.Contains(err.Error(), "the quote is cut off") {
		t.Errorf("four bytes: %v", err)
	}
	m.Use(tpmtest.AttestationKey(tpmtest.RSA()))
	in(0x81000001)(m)
	m.Safe, m.WithoutLog = 1, true
	fields, err = tpm.Describe(m.Raw())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if f.Name == "key" && f.Value != "RSA-2048" || f.Name == "key.hierarchy" && f.Value != "below another key" || f.Name == "safe" && f.Value != "YES" {
			t.Errorf("%+v", f)
		}
	}
}

func FuzzVerify(f *testing.F) {
	m := tpmtest.New()
	good := m.Evidence(claim.Nonce(tpm.Name))
	f.Add(good)
	m.Use(tpmtest.AttestationKey(tpmtest.RSA()))
	f.Add(m.Evidence(claim.Nonce(tpm.Name)))
	f.Add(quote())
	p := policy(m, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		a := tpm.Platform{}.Verify(data, claim, p, tpmtest.Now)
		if len(a.Checks) == 0 {
			t.Error("nothing was found")
		}
		tpm.Describe(data)
	})
}

func FuzzParseQuote(f *testing.F) {
	f.Add(quote())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := tpm.ParseQuote(b)
		if err != nil {
			return
		}
		m := &tpmtest.Machine{
			Magic: 0xff544347, Type: 0x8018, Signer: q.QualifiedSigner, Extra: q.ExtraData, Clock: q.Clock, Resets: q.ResetCount,
			Restarts: q.RestartCount, Firmware: q.Firmware, Quoted: q.Selections, Digest: append([]byte{}, q.Digest...),
		}
		if q.Safe {
			m.Safe = 1
		}
		if again := m.Quote(); !bytes.Equal(again, b) {
			t.Errorf("%x reads as %x", b, again)
		}
	})
}

func FuzzParsePublic(f *testing.F) {
	for _, k := range []*tpmtest.Key{tpmtest.AttestationKey(tpmtest.P256A()), tpmtest.AttestationKey(tpmtest.RSA()), tpmtest.EndorsementKey(tpmtest.P384())} {
		f.Add(k.Public())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := tpm.ParsePublic(b); err == nil && (len(p.Name()) < 34 || p.Vouches() && p.Endorses()) {
			t.Errorf("%+v", p)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	f.Add(tpmtest.AttestationKey(tpmtest.P256A()).Sign(nil))
	f.Add(tpmtest.AttestationKey(tpmtest.RSA()).Sign(nil))
	pub, err := tpm.ParsePublic(tpmtest.AttestationKey(tpmtest.P256A()).Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := tpm.ParseSignature(b); err == nil && pub.Verify([]byte("never signed"), s) {
			t.Error("forged")
		}
	})
}
