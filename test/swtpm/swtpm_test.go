// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package swtpm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	judge "github.com/sotto-chat/sotto/attest/tpm"
	"github.com/sotto-chat/sotto/attest/tpm/enroll"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
	"github.com/sotto-chat/sotto/node/hardware/tpm"
	"github.com/sotto-chat/sotto/node/hardware/tpm/tpmenroll"
	"github.com/sotto-chat/sotto/test/needs"
)

// machine is a software TPM that its own maker certified.
type machine struct {
	t      *testing.T
	dir    string
	maker  [][]byte // certificates of the maker: issuer and root, PEM
	boot   *tpmtest.Machine
	server *exec.Cmd
}

// manufacture has swtpm_setup make a TPM and its maker.
func manufacture(t *testing.T) *machine {
	for _, tool := range []string{"swtpm", "swtpm_setup", "swtpm_localca", "certtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Missing(t, tool+" (Debian: swtpm swtpm-tools gnutls-bin)")
		}
	}
	m := &machine{t: t, dir: t.TempDir(), boot: tpmtest.New()}
	m.boot.Banks = []uint16{judge.AlgSHA256, judge.AlgSHA384}
	localca, _ := exec.LookPath("swtpm_localca")
	m.write("localca.conf", fmt.Sprintf("statedir = %[1]s\nsigningkey = %[1]s/signkey.pem\nissuercert = %[1]s/issuer.pem\ncertserial = %[1]s/serial\n", m.dir))
	m.write("localca.options", "--platform-manufacturer Sotto\n--platform-version 1\n--platform-model test\n")
	m.write("setup.conf", fmt.Sprintf("create_certs_tool=%s\ncreate_certs_tool_config=%s\ncreate_certs_tool_options=%s\n",
		localca, m.path("localca.conf"), m.path("localca.options")))
	m.write("log", string(m.boot.Log()))
	if err := os.Mkdir(m.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	setup := exec.Command("swtpm_setup", "--tpm2", "--tpmstate", m.path("state"), "--create-ek-cert", "--config", m.path("setup.conf"), "--pcr-banks", "sha256,sha384")
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("swtpm_setup: %v\n%s", err, out)
	}
	for _, name := range []string{"issuer.pem", "swtpm-localca-rootca-cert.pem"} {
		b, err := os.ReadFile(m.path(name))
		if err != nil {
			t.Fatal(err)
		}
		m.maker = append(m.maker, b)
	}
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// on switches the TPM on, as a machine that starts does.
func (m *machine) on() {
	m.t.Helper()
	m.server = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+m.path("state"),
		"--server", "type=unixio,path="+m.path("sock"), "--ctrl", "type=unixio,path="+m.path("ctrl"), "--flags", "not-need-init,startup-clear")
	var out bytes.Buffer
	m.server.Stdout, m.server.Stderr = &out, &out
	if err := m.server.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.off)
	for range 200 {
		if c, err := net.Dial("unix", m.path("sock")); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	m.t.Fatalf("swtpm doesn't answer: %s", &out)
}

func (m *machine) off() {
	if m.server != nil {
		m.server.Process.Signal(syscall.SIGTERM)
		m.server.Wait()
		m.server = nil
	}
	os.Remove(m.path("sock"))
	os.Remove(m.path("ctrl"))
}

// shutdown tells the TPM that the machine goes off, as an operating system does.
func (m *machine) shutdown() {
	m.t.Helper()
	m.raw(func(c transport.TPM) {
		if _, err := (tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}).Execute(c); err != nil {
			m.t.Fatal(err)
		}
	})
}

func (m *machine) dial() net.Conn {
	m.t.Helper()
	c, err := net.Dial("unix", m.path("sock"))
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// raw calls f with the TPM itself.
func (m *machine) raw(f func(transport.TPM)) {
	m.t.Helper()
	c := transport.FromReadWriteCloser(m.dial())
	defer c.Close()
	f(c)
}

// measure does what firmware does: it extends the registers as the log says.
func (m *machine) measure(events ...tpmtest.Event) {
	m.t.Helper()
	m.raw(func(c transport.TPM) {
		for _, e := range events {
			var values []tpm2.TPMTHA
			for _, b := range m.boot.Banks {
				d, _ := hex.DecodeString(e.Hex(b))
				values = append(values, tpm2.TPMTHA{HashAlg: tpm2.TPMAlgID(b), Digest: d})
			}
			_, err := tpm2.PCRExtend{
				PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(e.PCR), Auth: tpm2.PasswordAuth(nil)},
				Digests:   tpm2.TPMLDigestValues{Digests: values},
			}.Execute(c)
			if err != nil {
				m.t.Fatal(err)
			}
		}
	})
}

// store writes to the TPM's memory, as a cloud does before it hands a machine over.
func (m *machine) store(index tpm2.TPMHandle, data []byte) {
	m.t.Helper()
	m.raw(func(c transport.TPM) {
		tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: m.named(c, index)}.Execute(c)
		if data == nil {
			return
		}
		_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(data)),
			Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NoDA: true},
		})}.Execute(c)
		for at := 0; err == nil && at < len(data); at += 512 {
			_, err = tpm2.NVWrite{AuthHandle: tpm2.TPMRHOwner, NVIndex: m.named(c, index), Offset: uint16(at),
				Data: tpm2.TPM2BMaxNVBuffer{Buffer: data[at:min(at+512, len(data))]}}.Execute(c)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	})
}

func (m *machine) named(c transport.TPM, index tpm2.TPMHandle) tpm2.NamedHandle {
	rsp, err := tpm2.NVReadPublic{NVIndex: index}.Execute(c)
	if err != nil {
		return tpm2.NamedHandle{Handle: index}
	}
	return tpm2.NamedHandle{Handle: index, Name: rsp.NVName}
}

// node opens the TPM as sotto-node does.
func (m *machine) node(f func(*tpm.TPM)) {
	m.t.Helper()
	n, err := tpm.Open(tpm.Config{Conn: m.dial(), Log: m.path("log")})
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			m.t.Error(err)
		}
	}()
	f(n)
}

// registrar certifies signing keys of TPMs that root's owner made.
func registrar(t *testing.T, root []byte) *enroll.Registrar {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Registrar"}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(root)
	maker, err := cert.Parse(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &enroll.Registrar{
		Roots: []cert.Root{{Name: "the maker", Key: maker.KeyHash()}},
		Key:   key, Chain: [][]byte{der}, Expiry: time.Hour,
	}
}

// enrol certifies the node's key, over the three messages.
func enrol(n *tpm.TPM, r *enroll.Registrar, maker [][]byte) ([][]byte, error) {
	request, err := tpmenroll.Request(n, maker...)
	if err != nil {
		return nil, err
	}
	challenge, pending, err := r.Challenge(request, time.Now())
	if err != nil {
		return nil, err
	}
	answer, err := tpmenroll.Answer(n, challenge)
	if err != nil {
		return nil, err
	}
	return r.Certify(pending, answer, time.Now())
}

// bundle makes a bundle of a fresh key, as a node does.
func bundle(t *testing.T, node string, n *tpm.TPM, files [][]byte) (doc []byte, evidence attest.Evidence) {
	t.Helper()
	now := time.Now().Unix()
	config, err := attest.KeyConfig{
		V: 1, Node: strings.Repeat(node, 16), Suite: attest.Suite, PublicKey: bytes.Repeat([]byte{7}, attest.PublicKeySize),
		NotBefore: now, NotAfter: now + 900, Release: "none", Models: []attest.Model{{ID: "m", Digest: "none"}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	es, err := n.Evidence(attest.ReportData(config), files...)
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, config, es[0]), es[0]
}

func pack(t *testing.T, config []byte, e attest.Evidence) []byte {
	t.Helper()
	doc, err := attest.Bundle{V: 1, KeyConfig: config, Evidence: []attest.Evidence{e}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func verify(doc []byte, p attest.Policy) (state string, failures []string) {
	_, v := attest.Verify(doc, p, time.Now(), judge.Platform{})
	for _, row := range v.Checks {
		for _, c := range row.Parts {
			if c.Status == attest.StatusFail {
				failures = append(failures, c.ID+" "+c.Failure)
			}
		}
	}
	return v.State, failures
}

// TestSoftwareTPM walks the whole way with a TPM that isn't ours: it is made and
// certified, measures a start, has its key certified by credential activation,
// vouches for a node's key, and is judged. Then things go wrong, one at a time.
func TestSoftwareTPM(t *testing.T) {
	m := manufacture(t)
	m.on()
	m.measure(m.boot.Events...)
	r := registrar(t, m.maker[1])

	var chain [][]byte
	var good []byte
	var p attest.Policy
	policy := func(edit func(map[string]any)) attest.Policy {
		root, err := cert.Parse(r.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		pin := root.KeyHash()
		rules := map[string]any{
			"roots":               []string{hex.EncodeToString(pin[:])},
			"pcrs":                []any{map[string]any{"bank": "sha256", "pcr": 4, "values": []string{hex.EncodeToString(m.boot.Register(judge.AlgSHA256, 4))}}},
			"events":              []any{map[string]any{"bank": "sha256", "pcr": 11, "begin": [][]string{{m.boot.Events[6].Hex(judge.AlgSHA256), m.boot.Events[7].Hex(judge.AlgSHA256)}}}},
			"require_secure_boot": true, "require_log": true, "hierarchy": "endorsement", "locality": 0,
		}
		if edit != nil {
			edit(rules)
		}
		raw, err := json.Marshal(rules)
		if err != nil {
			t.Fatal(err)
		}
		return attest.Policy{Require: []string{judge.Name}, Platforms: map[string]json.RawMessage{judge.Name: raw}}
	}
	p = policy(nil)

	m.node(func(n *tpm.TPM) {
		var err error
		if chain, err = enrol(n, r, m.maker); err != nil {
			t.Fatal(err)
		}
		var e attest.Evidence
		good, e = bundle(t, "0a", n, chain)
		state, failures := verify(good, p)
		if state != attest.StateVerified {
			t.Fatalf("%s: %v", state, failures)
		}
		if _, err := judge.Describe(e.Data); err != nil {
			t.Error(err)
		}
		if state, failures = verify(good, attest.Policy{}); state == attest.StateVerified || !strings.Contains(fmt.Sprint(failures), "chip.chain chain_untrusted") {
			t.Errorf("without a policy: %s %v", state, failures)
		}
		b, err := attest.ParseBundle(good)
		if err != nil {
			t.Fatal(err)
		}
		// Evidence of one key beside the description of another.
		_, other := bundle(t, "0b", n, chain)
		wants(t, "another key's evidence", pack(t, b.KeyConfig, other), p, "key.bound key_not_bound")

		// A registrar that trusts another maker.
		stranger := *r
		stranger.Roots = []cert.Root{{Key: [32]byte{1}}}
		if _, err := enrol(n, &stranger, m.maker); err == nil || !strings.Contains(err.Error(), "not trusted") {
			t.Errorf("another maker's TPM: %v", err)
		}
	})

	// Somebody measures something more.
	more := tpmtest.Event{PCR: 4, Type: 0x0d, Data: []byte("a thing more")}
	m.measure(more)
	m.node(func(n *tpm.TPM) {
		doc, _ := bundle(t, "0c", n, chain)
		wants(t, "something more was started", doc, p, "chip.log software_mismatch", "software.pcr4 software_mismatch")
		// A log that says so explains it, and it is still something else.
		m.boot.Events = append(m.boot.Events, more)
		m.write("log", string(m.boot.Log()))
		doc, _ = bundle(t, "0d", n, chain)
		wants(t, "something more was started, and said", doc, p, "software.pcr4 software_mismatch")
	})

	// The TPM starts again and nothing is measured: the key is the same one, and
	// what was certified of it still holds, but the registers are empty.
	resets := quoteOf(t, good).ResetCount
	m.shutdown()
	m.off()
	m.on()
	m.node(func(n *tpm.TPM) {
		doc, _ := bundle(t, "0e", n, chain)
		wants(t, "started again", doc, policy(func(r map[string]any) { r["resets"] = resets }),
			"chip.resets policy_mismatch", "chip.log software_mismatch", "chip.secure_boot policy_mismatch", "chip.locality policy_mismatch",
			"software.pcr4 software_mismatch", "software.begin11 policy_mismatch")
	})
	m.measure(m.boot.Events[:len(m.boot.Events)-1]...)
	m.boot.Events = m.boot.Events[:len(m.boot.Events)-1]
	m.write("log", string(m.boot.Log()))
	m.node(func(n *tpm.TPM) {
		doc, _ := bundle(t, "0f", n, chain)
		if state, failures := verify(doc, p); state != attest.StateVerified {
			t.Errorf("started again as before: %s %v", state, failures)
		}
	})

	// A cloud's own signing key, of another template; the old certificate is not
	// its own, and the challenge for the old key doesn't open for it.
	var challenge []byte
	m.node(func(n *tpm.TPM) {
		request, err := tpmenroll.Request(n, m.maker...)
		if err != nil {
			t.Fatal(err)
		}
		if challenge, _, err = r.Challenge(request, time.Now()); err != nil {
			t.Fatal(err)
		}
	})
	m.store(0x01c10001, tpm2.Marshal(rsaTemplate(true)))
	var cloud [][]byte
	m.node(func(n *tpm.TPM) {
		doc, _ := bundle(t, "1a", n, chain)
		wants(t, "another key", doc, p, "chip.certificate chain_untrusted")
		if _, err := tpmenroll.Answer(n, challenge); err == nil {
			t.Error("the TPM opened a challenge for another key")
		}
		var err error
		if cloud, err = enrol(n, r, m.maker); err != nil {
			t.Fatal(err)
		}
	})
	m.store(0x01c10000, cloud[0])
	m.node(func(n *tpm.TPM) {
		doc, _ := bundle(t, "1b", n, cloud[1:])
		if state, failures := verify(doc, p); state != attest.StateVerified {
			t.Errorf("a cloud's key: %s %v", state, failures)
		}
	})
	m.store(0x01c10000, nil)

	// A key that signs anything.
	m.store(0x01c10001, tpm2.Marshal(rsaTemplate(false)))
	m.node(func(n *tpm.TPM) {
		if _, err := enrol(n, r, m.maker); err == nil || !strings.Contains(err.Error(), "sign what the TPM didn't make") {
			t.Errorf("a key that signs anything was certified: %v", err)
		}
		_, public := n.Key()
		name, err := judge.ParsePublic(public)
		if err != nil {
			t.Fatal(err)
		}
		doc, _ := bundle(t, "1c", n, chain)
		wants(t, "a key that signs anything", doc, policy(func(r map[string]any) { r["keys"] = []string{hex.EncodeToString(name.Name())} }),
			"chip.attributes policy_mismatch")
	})
	m.store(0x01c10001, nil)

	// Somebody pulls the plug: the TPM can't know how much time was lost.
	m.off()
	m.on()
	m.measure(m.boot.Events...)
	m.node(func(n *tpm.TPM) {
		doc, _ := bundle(t, "1d", n, chain)
		wants(t, "the plug was pulled", doc, p, "chip.clock policy_mismatch")
	})
}

func wants(t *testing.T, what string, doc []byte, p attest.Policy, want ...string) {
	t.Helper()
	state, got := verify(doc, p)
	if state != attest.StateFailed || !slices.Equal(got, want) {
		t.Errorf("%s: %s %v, want %v", what, state, got, want)
	}
}

func quoteOf(t *testing.T, doc []byte) *judge.Quote {
	t.Helper()
	b, err := attest.ParseBundle(doc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := section.Parse(b.Evidence[0].Data, judge.Sections())
	if err != nil {
		t.Fatal(err)
	}
	q, err := judge.ParseQuote(s.One(tpmdata.KindQuote))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// rsaTemplate is one of an RSA key that signs quotes, or anything.
func rsaTemplate(restricted bool) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, Restricted: restricted, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSAPSS,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: tpm2.TPMAlgSHA256})},
			KeyBits: 2048,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{}),
	}
}
