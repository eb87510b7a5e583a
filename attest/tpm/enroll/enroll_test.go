// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

// activate is TPM2_ActivateCredential of a fake TPM, with go-tpm's derivation of
// keys, which isn't ours.
func activate(ek *tpmtest.Key, name, id, encrypted []byte) ([]byte, error) {
	h := crypto.SHA256
	if ek.NameAlg == tpm.AlgSHA384 {
		h = crypto.SHA384
	}
	var seed []byte
	switch k := ek.Private.(type) {
	case *rsa.PrivateKey:
		var err error
		if seed, err = rsa.DecryptOAEP(h.New(), nil, k, encrypted, []byte("IDENTITY\x00")); err != nil {
			return nil, err
		}
	case *ecdsa.PrivateKey:
		own, err := k.ECDH()
		if err != nil {
			return nil, err
		}
		n := int(binary.BigEndian.Uint16(encrypted))
		x, y := encrypted[2:2+n], encrypted[4+n:]
		var curve ecdh.Curve = ecdh.P256()
		if n == 48 {
			curve = ecdh.P384()
		}
		theirs, err := curve.NewPublicKey(append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, err
		}
		z, err := own.ECDH(theirs)
		if err != nil {
			return nil, err
		}
		seed = tpm2.KDFe(h, z, "IDENTITY", x, own.PublicKey().Bytes()[1:1+n], 8*h.Size())
	}
	n := int(binary.BigEndian.Uint16(id))
	mac, sealed := id[2:2+n], id[2+n:]
	m := hmac.New(h.New, tpm2.KDFa(h, seed, "INTEGRITY", nil, nil, 8*h.Size()))
	m.Write(sealed)
	m.Write(name)
	if !hmac.Equal(mac, m.Sum(nil)) {
		return nil, errors.New("TPM_RC_INTEGRITY")
	}
	bits := int(binary.BigEndian.Uint16(ek.Symmetric[2:]))
	block, err := aes.NewCipher(tpm2.KDFa(h, seed, "STORAGE", name, nil, bits))
	if err != nil {
		return nil, err
	}
	plain, feedback := make([]byte, len(sealed)), make([]byte, 16)
	for i := range sealed {
		if i%16 == 0 {
			block.Encrypt(feedback, feedback)
		}
		plain[i], feedback[i%16] = sealed[i]^feedback[i%16], sealed[i]
	}
	if int(binary.BigEndian.Uint16(plain)) != len(plain)-2 {
		return nil, errors.New("TPM_RC_SIZE")
	}
	return plain[2:], nil
}

func endorsementKeys() map[string]*tpmtest.Key {
	long := tpmtest.EndorsementKey(tpmtest.P384())
	long.NameAlg, long.Policy, long.Symmetric = tpm.AlgSHA384, make([]byte, 48), []byte{0, tpm.AlgAES, 1, 0, 0, tpm.AlgCFB}
	return map[string]*tpmtest.Key{"RSA": tpmtest.EndorsementKey(tpmtest.RSA()), "P-256": tpmtest.EndorsementKey(tpmtest.P256B()), "P-384": long}
}

func public(t testing.TB, k *tpmtest.Key) *tpm.Public {
	t.Helper()
	p, err := tpm.ParsePublic(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCredential: the fake TPM opens what go-tpm makes, and what we make.
func TestCredential(t *testing.T) {
	name := tpmtest.AttestationKey(tpmtest.P256A()).Name()
	secret := []byte("0123456789abcdef0123456789abcdef")
	for kind, ek := range endorsementKeys() {
		pub, err := tpm2.Unmarshal[tpm2.TPMTPublic](ek.Public())
		if err != nil {
			t.Fatal(err)
		}
		key, err := tpm2.ImportEncapsulationKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		id, enc, err := tpm2.CreateCredential(rand.Reader, key, name, secret)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := activate(ek, name, id, enc); err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%s: go-tpm's: %q, %v", kind, got, err)
		}
		ours, ourEnc := makeCredential(public(t, ek), name, secret)
		if k, ok := ek.Private.(*rsa.PrivateKey); ok {
			seed, err := rsa.DecryptOAEP(sha256.New(), nil, k, ourEnc, []byte("IDENTITY\x00"))
			if err != nil || bytes.Equal(seed, make([]byte, 32)) {
				t.Errorf("seed %x, %v", seed, err)
			}
		}
		if got, err := activate(ek, name, ours, ourEnc); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: ours: %q, %v", kind, got, err)
		}
		if len(ours) != len(id) || len(ourEnc) != len(enc) {
			t.Errorf("%s: %d and %d bytes, go-tpm's have %d and %d", kind, len(ours), len(ourEnc), len(id), len(enc))
		}
		other := append([]byte{}, name...)
		other[5]++
		if _, err := activate(ek, other, ours, ourEnc); err == nil {
			t.Errorf("%s: opened for another key", kind)
		}
	}
}

var registrarKey = sync.OnceValue(func() *Registrar {
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Registrar"}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: tpmtest.Now.Add(-time.Hour), NotAfter: tpmtest.Now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, tpmtest.P384().Public(), tpmtest.P384())
	if err != nil {
		panic(err)
	}
	return &Registrar{Roots: tpmtest.Roots(), Key: tpmtest.P384(), Chain: [][]byte{der}, Expiry: 2 * time.Hour}
})

// enrol goes the whole way with a fake TPM.
func enrol(ek, ak *tpmtest.Key, chain [][]byte, now time.Time) ([][]byte, error) {
	r := registrarKey()
	challenge, pending, err := r.Challenge(Request(ek.Public(), ak.Public(), chain), now)
	if err != nil {
		return nil, err
	}
	id, enc, err := ParseChallenge(challenge)
	if err != nil {
		return nil, err
	}
	secret, err := activate(ek, ak.Name(), id, enc)
	if err != nil {
		return nil, err
	}
	return r.Certify(pending, Answer(challenge, secret), now.Add(time.Minute))
}

// TestProof: another implementation's machine answers the same.
func TestProof(t *testing.T) {
	m := hmac.New(sha256.New, []byte("secret"))
	m.Write([]byte("sotto/1 tpm enrolment\x00challenge"))
	if got := proof([]byte("challenge"), []byte("secret")); !bytes.Equal(got, m.Sum(nil)) {
		t.Errorf("%x", got)
	}
}

func TestEnrol(t *testing.T) {
	serials := map[string]bool{}
	for kind, ek := range endorsementKeys() {
		for _, ak := range []*tpmtest.Key{tpmtest.AttestationKey(tpmtest.P256A()), tpmtest.AttestationKey(tpmtest.P384()), tpmtest.AttestationKey(tpmtest.RSA())} {
			chain, err := enrol(ek, ak, tpmtest.EKCertificate(ek, nil), tpmtest.Now)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			leaf, err := cert.Parse(chain[0])
			if err != nil {
				t.Fatal(err)
			}
			area := sha256.Sum256(ak.Public())
			if !public(t, ak).Certified(leaf) || leaf.SubjectName("2.5.4.5") != hex.EncodeToString(area[:]) || leaf.IsCA ||
				leaf.KeyUsage != cert.UsageDigitalSignature || len(leaf.Serial) != 16 {
				t.Errorf("%+v", leaf)
			}
			if serials[string(leaf.Serial)] {
				t.Error("two certificates have one serial number")
			}
			serials[string(leaf.Serial)] = true
			// The certificate's times are whole seconds.
			if leaf.NotBefore != tpmtest.Now.Add(-4*time.Minute).Unix() || leaf.NotAfter != tpmtest.Now.Add(2*time.Hour+time.Minute).Unix() {
				t.Errorf("valid from %d to %d", leaf.NotBefore, leaf.NotAfter)
			}
			root, err := cert.Parse(chain[1])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cert.Chain(leaf, []*cert.Certificate{root}, []cert.Root{{Key: root.KeyHash()}}, tpmtest.Now.Unix()); err != nil || len(chain) != 2 {
				t.Errorf("%d certificates: %v", len(chain), err)
			}
		}
	}
}

func TestChallengeRefuses(t *testing.T) {
	good, ak := tpmtest.EndorsementKey(tpmtest.P256B()), tpmtest.AttestationKey(tpmtest.P256A())
	chain := tpmtest.EKCertificate(good, nil)
	with := func(edit func(*x509.Certificate)) [][]byte { return tpmtest.EKCertificate(good, edit) }
	loose, signing, anyScheme, sha512 := *ak, *good, *ak, *ak
	loose.Attributes &^= tpm.Restricted
	signing.Attributes |= tpm.Sign
	anyScheme.Scheme = tpm.AlgNull
	sha512.Hash = tpm.AlgSHA512
	request := Request(good.Public(), ak.Public(), chain)
	for name, c := range map[string]struct {
		request []byte
		now     time.Time
		want    string
	}{
		"nothing":           {nil, tpmtest.Now, "request: a section “label” is missing"},
		"another message":   {message(labelAnswer, good.Public(), ak.Public(), nil), tpmtest.Now, "request: a section “certificate” is missing"},
		"another label":     {append(section.Append(nil, 1, []byte(labelAnswer)), request[5+len(labelRequest):]...), tpmtest.Now, "it is no tpm enrolment request"},
		"trailing bytes":    {append(bytes.Clone(request), 0), tpmtest.Now, "request: "},
		"no certificates":   {Request(good.Public(), ak.Public(), nil), tpmtest.Now, "“certificate” is missing"},
		"EK can't be read":  {Request([]byte{1}, ak.Public(), chain), tpmtest.Now, "endorsement key: the key is cut off"},
		"AK can't be read":  {Request(good.Public(), []byte{1}, chain), tpmtest.Now, "attestation key: the key is cut off"},
		"no certificate":    {Request(good.Public(), ak.Public(), [][]byte{{1}}), tpmtest.Now, "certificate of the endorsement key: "},
		"no issuer":         {Request(good.Public(), ak.Public(), chain[:1]), tpmtest.Now, "is missing"},
		"expired":           {request, tpmtest.Now.Add(48 * time.Hour), "ended on"},
		"another EK":        {Request(tpmtest.EndorsementKey(tpmtest.P384()).Public(), ak.Public(), chain), tpmtest.Now, "of another endorsement key"},
		"another purpose":   {Request(good.Public(), ak.Public(), with(func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}} })), tpmtest.Now, "not one of an endorsement key"},
		"no purpose":        {Request(good.Public(), ak.Public(), with(func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil })), tpmtest.Now, "not one of an endorsement key"},
		"an authority":      {Request(good.Public(), ak.Public(), with(func(c *x509.Certificate) { c.IsCA = true })), tpmtest.Now, "not one of an endorsement key"},
		"signing EK":        {Request(signing.Public(), ak.Public(), chain), tpmtest.Now, "the endorsement key can leave its TPM"},
		"unrestricted AK":   {Request(good.Public(), loose.Public(), chain), tpmtest.Now, "the attestation key can leave its TPM"},
		"AK for any scheme": {Request(good.Public(), anyScheme.Public(), chain), tpmtest.Now, "the attestation key can leave its TPM"},
		"AK with SHA-512":   {Request(good.Public(), sha512.Public(), chain), tpmtest.Now, "the attestation key can leave its TPM"},
	} {
		_, _, err := registrarKey().Challenge(c.request, c.now)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	stranger := *registrarKey()
	stranger.Roots = nil
	if _, _, err := stranger.Challenge(request, tpmtest.Now); err == nil || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("no roots: %v", err)
	}
	two := with(func(c *x509.Certificate) {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}, {2, 23, 133, 8, 1}}
	})
	if _, _, err := registrarKey().Challenge(Request(good.Public(), ak.Public(), two), tpmtest.Now); err != nil {
		t.Errorf("two purposes: %v", err)
	}
	long := *ak
	long.Hash = tpm.AlgSHA384
	if _, _, err := registrarKey().Challenge(Request(good.Public(), long.Public(), chain), tpmtest.Now); err != nil {
		t.Errorf("SHA-384: %v", err)
	}
}

func TestCertifyRefuses(t *testing.T) {
	r := registrarKey()
	ek, ak := tpmtest.EndorsementKey(tpmtest.P256B()), tpmtest.AttestationKey(tpmtest.P256A())
	request := Request(ek.Public(), ak.Public(), tpmtest.EKCertificate(ek, nil))
	challenge, pending, err := r.Challenge(request, tpmtest.Now)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := r.Challenge(request, tpmtest.Now)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(challenge, other) {
		t.Error("two challenges are the same")
	}
	id, enc, err := ParseChallenge(challenge)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := activate(ek, ak.Name(), id, enc)
	if err != nil {
		t.Fatal(err)
	}
	good := Answer(challenge, secret)
	for name, c := range map[string]struct {
		pending, answer []byte
		now             time.Time
		want            string
	}{
		"guessed":           {pending, Answer(challenge, make([]byte, 32)), tpmtest.Now, "not in one TPM"},
		"other challenge":   {pending, Answer(other, secret), tpmtest.Now, "not in one TPM"},
		"short":             {pending, message(labelAnswer, []byte{1}), tpmtest.Now, "not in one TPM"},
		"too late":          {pending, good, tpmtest.Now.Add(MaxPending), "too late"},
		"nothing":           {pending, nil, tpmtest.Now, "answer: "},
		"another message":   {pending, message(labelChallenge, good[len(good)-32:]), tpmtest.Now, "no tpm enrolment answer"},
		"nothing pending":   {nil, good, tpmtest.Now, "pending enrolment: "},
		"challenge pending": {message(labelChallenge, ak.Public(), make([]byte, 32), make([]byte, 8)), good, tpmtest.Now, "no tpm enrolment pending"},
		"pending for ever":  {message(labelPending, ak.Public(), make([]byte, 32), []byte{1}), good, tpmtest.Now, "pending enrolment: "},
		"pending of no key": {message(labelPending, []byte{1}, proof(challenge, secret), []byte{0x7f, 0, 0, 0, 0, 0, 0, 0}), good, tpmtest.Now, "pending enrolment: the key is cut off"},
	} {
		if _, err := r.Certify(c.pending, c.answer, c.now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := r.Certify(pending, good, tpmtest.Now.Add(MaxPending-time.Second)); err != nil {
		t.Errorf("just in time: %v", err)
	}
	broken := *r
	broken.Chain = [][]byte{{1}}
	if _, err := broken.Certify(pending, good, tpmtest.Now); err == nil || !strings.Contains(err.Error(), "certificate of the registrar") {
		t.Errorf("no certificate: %v", err)
	}
	broken = *r
	broken.Key = tpmtest.P256A()
	if _, err := broken.Certify(pending, good, tpmtest.Now); err == nil || !strings.Contains(err.Error(), "certify: ") {
		t.Errorf("another key: %v", err)
	}
}

func TestParseChallengeRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"another message": message(labelAnswer, []byte{1}, []byte{2}),
		"no secret":       message(labelChallenge, []byte{1}),
		"no credential":   section.Append(section.Append(nil, 1, []byte(labelChallenge)), 3, []byte{1}),
	} {
		if _, _, err := ParseChallenge(b); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	ek, ak := tpmtest.EndorsementKey(tpmtest.P256B()), tpmtest.AttestationKey(tpmtest.P256A())
	f.Add(Request(ek.Public(), ak.Public(), tpmtest.EKCertificate(ek, nil)))
	f.Add(Answer([]byte("x"), []byte("y")))
	f.Fuzz(func(t *testing.T, b []byte) {
		registrarKey().Challenge(b, tpmtest.Now)
		registrarKey().Certify(b, b, tpmtest.Now)
		ParseChallenge(b)
	})
}
