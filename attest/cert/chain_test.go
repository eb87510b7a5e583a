// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/attest"
)

// vendor is root (key 2) → ca (key 1) → leaf (key 0), each of which a test can change.
type vendor struct {
	leaf, ca, root       pieces
	byLeaf, byCA, byRoot crypto.Signer // who signs leaf, ca, root
	extra                [][]byte      // beside them in the pool, first
	now                  time.Time
	pinned               []Root // nil: the root
}

func newVendor() vendor {
	return vendor{
		leaf: leafPieces(), ca: caPieces("ca", "root", &p256[1].PublicKey), root: caPieces("root", "root", &p256[2].PublicKey),
		byLeaf: p256[1], byCA: p256[2], byRoot: p256[2], now: testTime,
	}
}

func (v vendor) chain(t testing.TB) ([]*Certificate, error) {
	t.Helper()
	leaf := parsed(t, v.leaf.by(v.byLeaf))
	ca, root := parsed(t, v.ca.by(v.byCA)), parsed(t, v.root.by(v.byRoot))
	pool, err := ParseAll(v.extra)
	if err != nil {
		t.Fatal(err)
	}
	pool = append(pool, root, ca) // the order doesn't count
	pinned := v.pinned
	if pinned == nil {
		pinned = []Root{{"other", [32]byte{1}}, {"root", root.KeyHash()}}
	}
	return Chain(leaf, pool, pinned, v.now.Unix())
}

func TestChain(t *testing.T) {
	validity := func(from, to time.Time) []byte { return seq(utc(from), utc(to)) }
	hour := time.Hour
	ago, soon := testTime.Add(-hour), testTime.Add(hour)
	usage := func(b byte) []byte { return critical(oidKeyUsage, bits([]byte{b})) }
	for name, tt := range map[string]struct {
		failure, detail string // "" if the chain stands
		change          func(*vendor)
	}{
		"as made": {"", "", func(v *vendor) {}},

		// Signatures and names.
		"leaf signed by another":  {"signature_invalid", "“leaf” is wrong", func(v *vendor) { v.byLeaf = p256[3] }},
		"leaf signed by the root": {"signature_invalid", "“leaf” is wrong", func(v *vendor) { v.byLeaf = p256[2] }},
		"leaf signed by itself":   {"signature_invalid", "“leaf” is wrong", func(v *vendor) { v.byLeaf = p256[0] }},
		"ca signed by another":    {"signature_invalid", "“ca” is wrong", func(v *vendor) { v.byCA = p256[3] }},
		"root signed by another":  {"signature_invalid", "“root” isn't signed by itself", func(v *vendor) { v.byRoot = p256[3] }},
		"leaf issued by another":  {"chain_untrusted", "signed that of “leaf” is missing", func(v *vendor) { v.leaf.issuer = name("CA") }},
		"ca issued by another":    {"chain_untrusted", "signed that of “ca” is missing", func(v *vendor) { v.ca.issuer = name("ro") }},
		"leaf without a name":     {"", "", func(v *vendor) { v.leaf.subject = seq() }},
		"leaf nameless and alone": {"chain_untrusted", "that of a nameless one is missing", func(v *vendor) { v.leaf.subject, v.leaf.issuer = seq(), name("none") }},
		"leaf its own root":       {"chain_untrusted", "nobody but itself", func(v *vendor) { v.leaf = v.root; v.byLeaf = v.byRoot }},
		"leaf with its own name":  {"chain_untrusted", "nobody but itself", func(v *vendor) { v.leaf.issuer = v.leaf.subject }},
		"root pinned by its key":  {"", "", func(v *vendor) { v.root.serial = num(99) }},
		"root with another key":   {"chain_untrusted", "lead to “root”, which is not trusted", func(v *vendor) { v.pinned = []Root{{"root", [32]byte{}}} }},
		"no root pinned":          {"chain_untrusted", "lead to “root”, which is not trusted", func(v *vendor) { v.pinned = []Root{} }},
		"root of another algorithm": {"", "", func(v *vendor) {
			v.root.key, v.byRoot, v.byCA = spki(&p384.PublicKey), p384, p384
			v.root.alg, v.ca.alg = algECDSA384, algECDSA384
		}},
		"root of RSA": {"", "", func(v *vendor) {
			v.root.key, v.byRoot, v.byCA = spki(rsaKey().Public()), rsaKey(), rsaKey()
			v.root.alg, v.ca.alg = algPSS384, algPKCS256
		}},

		// Validity, at the second.
		"leaf ended":           {"collateral_expired", "“leaf” ended on 2027-01-15", func(v *vendor) { v.leaf.validity = validity(ago, testTime.Add(-time.Second)) }},
		"leaf ends now":        {"", "", func(v *vendor) { v.leaf.validity = validity(ago, testTime) }},
		"leaf starts now":      {"", "", func(v *vendor) { v.leaf.validity = validity(testTime, soon) }},
		"leaf starts later":    {"collateral_expired", "“leaf” is not valid before 2027-01-15", func(v *vendor) { v.leaf.validity = validity(testTime.Add(time.Second), soon) }},
		"ca ended":             {"collateral_expired", "“ca” ended", func(v *vendor) { v.ca.validity = validity(ago, testTime.Add(-time.Second)) }},
		"ca starts later":      {"collateral_expired", "“ca” is not valid", func(v *vendor) { v.ca.validity = validity(testTime.Add(time.Second), soon) }},
		"root ended":           {"collateral_expired", "“root” ended", func(v *vendor) { v.root.validity = validity(ago, testTime.Add(-time.Second)) }},
		"root starts later":    {"collateral_expired", "“root” is not valid", func(v *vendor) { v.root.validity = validity(testTime.Add(time.Second), soon) }},
		"leaf outlives its ca": {"", "", func(v *vendor) { v.leaf.validity = validity(ago, testTime.Add(100*hour)) }},

		// Who may sign.
		"ca is no CA":         {"chain_untrusted", "“ca” may not sign others", func(v *vendor) { v.ca.exts = [][]byte{ext(oidBasicConstraints, seq()), extCASign} }},
		"ca says nothing":     {"chain_untrusted", "“ca” may not sign others", func(v *vendor) { v.ca.exts = nil }},
		"ca with usage alone": {"chain_untrusted", "“ca” may not sign others", func(v *vendor) { v.ca.exts = [][]byte{extCASign} }},
		"ca without usage":    {"", "", func(v *vendor) { v.ca.exts = [][]byte{extCA} }},
		"ca for lists only":   {"chain_untrusted", "“ca” may not sign others", func(v *vendor) { v.ca.exts = [][]byte{extCA, usage(0x02)} }},
		"ca for certificates": {"", "", func(v *vendor) { v.ca.exts = [][]byte{extCA, usage(0x04)} }},
		"ca for nothing":      {"chain_untrusted", "“ca” may not sign others", func(v *vendor) { v.ca.exts = [][]byte{extCA, critical(oidKeyUsage, bits(nil))} }},
		"root is no CA":       {"chain_untrusted", "“root” may not sign others", func(v *vendor) { v.root.exts = nil }},
		"root for lists only": {"chain_untrusted", "“root” may not sign others", func(v *vendor) { v.root.exts = [][]byte{extCA, usage(0x02)} }},
		"leaf is a CA":        {"", "", func(v *vendor) { v.leaf.exts = [][]byte{extCA, extCASign} }},
		"leaf for nothing":    {"", "", func(v *vendor) { v.leaf.exts = [][]byte{critical(oidKeyUsage, bits(nil))} }},
		"ca of height 0":      {"", "", func(v *vendor) { v.ca.exts = [][]byte{extPath(0), extCASign} }},
		"root of height 0":    {"chain_untrusted", "“root” may not stand so high", func(v *vendor) { v.root.exts = [][]byte{extPath(0), extCASign} }},
		"root of height 1":    {"", "", func(v *vendor) { v.root.exts = [][]byte{extPath(1), extCASign} }},
		"leaf is a CA, height 0": {"", "", func(v *vendor) {
			v.leaf.exts, v.ca.exts = [][]byte{extPath(0), extCASign}, [][]byte{extPath(0), extCASign}
		}},

		// Conditions.
		"leaf with a condition": {"chain_untrusted", "“leaf” makes a condition that this app does not know (1.2.3)", func(v *vendor) { v.leaf.exts = [][]byte{critical("1.2.3", num(1))} }},
		"ca with a condition":   {"chain_untrusted", "“ca” makes a condition", func(v *vendor) { v.ca.exts = append(v.ca.exts, critical("2.5.29.30", seq())) }},
		"root with a condition": {"chain_untrusted", "“root” makes a condition", func(v *vendor) { v.root.exts = append(v.root.exts, critical("2.5.29.36", seq())) }},
		"ca with a remark": {"", "", func(v *vendor) {
			v.ca.exts = append(v.ca.exts, ext("1.2.3", num(1)), ext(oidExtKeyUsage, seq(oid("1.2.3"))))
		}},
		"leaf with those of a TPM": {"", "", func(v *vendor) {
			v.leaf.exts = [][]byte{critical("2.5.29.17", seq()), critical(oidExtKeyUsage, seq(oid("2.23.133.8.1"))), critical("2.5.29.32", seq())}
		}},
		"ca for some sort of others":   {"chain_untrusted", "“ca” makes a condition that this app does not know (2.5.29.37)", func(v *vendor) { v.ca.exts = append(v.ca.exts, critical(oidExtKeyUsage, seq(oid("2.23.133.8.1")))) }},
		"root for some sort of others": {"chain_untrusted", "“root” makes a condition", func(v *vendor) { v.root.exts = append(v.root.exts, critical(oidExtKeyUsage, seq(oid("2.23.133.8.1")))) }},

		// Several that look alike.
		"a false ca first":  {"", "", func(v *vendor) { v.extra = [][]byte{caPieces("ca", "root", &p256[3].PublicKey).by(p256[3])} }},
		"an old ca first":   {"", "", func(v *vendor) { old := v.ca; old.validity = validity(ago, ago); v.extra = [][]byte{old.by(p256[2])} }},
		"an old root first": {"", "", func(v *vendor) { old := v.root; old.validity = validity(ago, ago); v.extra = [][]byte{old.by(p256[2])} }},
		"all ca are old":    {"collateral_expired", "“ca” ended", func(v *vendor) { v.ca.validity = validity(ago, ago); v.extra = [][]byte{v.ca.by(p256[2])} }},
		"the first is to blame": {"collateral_expired", "“ca” ended", func(v *vendor) {
			old := v.ca
			old.validity = validity(ago, ago)
			v.ca.exts = nil
			v.extra = [][]byte{old.by(p256[2])}
		}},
		"forged, and old as well": {"chain_untrusted", "not trusted", func(v *vendor) { v.leaf.validity = validity(ago, ago); v.pinned = []Root{} }},
		"the leaf in the pool":    {"", "", func(v *vendor) { v.extra = [][]byte{v.leaf.by(p256[1])} }},
		"all twice":               {"", "", func(v *vendor) { v.extra = [][]byte{v.leaf.by(p256[1]), v.ca.by(p256[2]), v.root.by(p256[2])} }},
	} {
		v := newVendor()
		tt.change(&v)
		chain, err := v.chain(t)
		if tt.failure == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if len(chain) != 3 || chain[1].SubjectName("2.5.4.3") != "ca" || chain[2].SubjectName("2.5.4.3") != "root" {
				t.Errorf("%s: a chain of %d", name, len(chain))
			}
			continue
		}
		if err == nil || chain != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if FailureOf(err) != tt.failure || !strings.Contains(err.Error(), tt.detail) {
			t.Errorf("%s: %s, %q, want %s, %q", name, FailureOf(err), err, tt.failure, tt.detail)
		}
	}
}

// tower returns a leaf and n CAs above it, the last of which is the root; the keys
// take turns.
func tower(t testing.TB, n int, exts ...[]byte) (leaf *Certificate, pool []*Certificate) {
	t.Helper()
	if exts == nil {
		exts = [][]byte{extCA, extCASign}
	}
	at := func(i int) string { return fmt.Sprint("c", i) }
	for i := range n + 1 {
		up := min(i+1, n)
		p := caPieces(at(i), at(up), &p256[i%2].PublicKey, exts...)
		pool = append(pool, parsed(t, p.by(p256[up%2])))
	}
	return pool[0], pool[1:]
}

func TestChainLength(t *testing.T) {
	for n := 1; n < 12; n++ {
		leaf, pool := tower(t, n)
		root := Root{"root", pool[n-1].KeyHash()}
		chain, err := Chain(leaf, pool, []Root{root}, testTime.Unix())
		if n+1 <= maxDepth {
			if err != nil || len(chain) != n+1 || chain[n] != pool[n-1] {
				t.Errorf("%d CAs: a chain of %d, %v", n, len(chain), err)
			}
		} else if FailureOf(err) != attest.FailChainUntrusted || !strings.Contains(err.Error(), "on and on") {
			t.Errorf("%d CAs: %v", n, err)
		}
	}
	// The limit of one holds for all below it: of three CAs that allow one between, the third stands too high.
	for n, ok := range map[int]bool{1: true, 2: true, 3: false, 4: false} {
		leaf, pool := tower(t, n, extPath(1), extCASign)
		_, err := Chain(leaf, pool, []Root{{"root", pool[n-1].KeyHash()}}, testTime.Unix())
		if (err == nil) != ok {
			t.Errorf("%d CAs that allow one between: %v", n, err)
		}
	}
}

// Two that vouch for each other lead nowhere, and nowhere takes a while only.
func TestChainCircle(t *testing.T) {
	a := parsed(t, caPieces("a", "b", &p256[0].PublicKey).by(p256[1]))
	b := parsed(t, caPieces("b", "a", &p256[1].PublicKey).by(p256[0]))
	leaf := leafPieces()
	leaf.issuer = name("a")
	_, err := Chain(parsed(t, leaf.by(p256[0])), []*Certificate{a, b}, []Root{{"a", a.KeyHash()}, {"b", b.KeyHash()}}, testTime.Unix())
	if FailureOf(err) != attest.FailChainUntrusted {
		t.Error(err)
	}
}

// The number of signatures that are looked at isn't the stranger's to choose.
func TestChainSearchIsBounded(t *testing.T) {
	v := newVendor()
	leaf, ca, root := parsed(t, v.leaf.by(p256[1])), parsed(t, v.ca.by(p256[2])), parsed(t, v.root.by(p256[2]))
	forged := parsed(t, caPieces("ca", "root", &p256[3].PublicKey).by(p256[3]))
	roots := []Root{{"root", root.KeyHash()}}
	for n, ok := range map[int]bool{0: true, maxSignatures - 2: true, maxSignatures - 1: false, maxSignatures: false, 5000: false} {
		pool := append(slices.Repeat([]*Certificate{forged}, n), ca, root)
		_, err := Chain(leaf, pool, roots, testTime.Unix())
		if (err == nil) != ok || !ok && (FailureOf(err) != attest.FailChainUntrusted || !strings.Contains(err.Error(), "one name")) {
			t.Errorf("%d that look alike: %v", n, err)
		}
	}
	// Names that don't fit cost nothing.
	pool := append(slices.Repeat([]*Certificate{leaf}, 5000), ca, root)
	if _, err := Chain(leaf, pool, roots, testTime.Unix()); err != nil {
		t.Error(err)
	}
}

func TestFailureOf(t *testing.T) {
	if got := FailureOf(fmt.Errorf("other")); got != attest.FailPlatformError {
		t.Errorf("another's error is %s", got)
	}
	if got := FailureOf(nil); got != attest.FailPlatformError {
		t.Errorf("no error is %s", got)
	}
}
