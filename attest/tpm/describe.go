// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
)

// Describe names every field of evidence in the form of this package, or of a bare
// TPMS_ATTEST, and judges nothing.
func Describe(data []byte) ([]attest.Field, error) {
	if len(data) >= 4 && binary.BigEndian.Uint32(data) == generatedValue {
		q, err := ParseQuote(data)
		if err != nil {
			return nil, err
		}
		return q.describe(), nil
	}
	s, err := section.Parse(data, Sections())
	if err != nil {
		return nil, err
	}
	q, err := ParseQuote(s.One(tpmdata.KindQuote))
	if err != nil {
		return nil, err
	}
	sig, err := ParseSignature(s.One(tpmdata.KindSignature))
	if err != nil {
		return nil, err
	}
	pub, err := ParsePublic(s.One(tpmdata.KindPublic))
	if err != nil {
		return nil, err
	}
	fields := append(q.describe(), attest.Field{Name: "signature", Value: schemeName(sig.Scheme, sig.Hash), Meaning: "how the TPM signed"})
	fields = append(fields, pub.describe(q)...)
	for i, b := range s.All(tpmdata.KindCertificate) {
		c, err := cert.Parse(b)
		if err != nil {
			return nil, err
		}
		hash := c.KeyHash()
		fields = append(fields, attest.Field{Name: "certificate[" + strconv.Itoa(i) + "]", Value: c.SubjectName("2.5.4.3"),
			Meaning: "until " + day(c.NotAfter) + ", serial " + hex.EncodeToString(c.Serial) + ", SHA-256 of its key " + hex.EncodeToString(hash[:])})
	}
	for i, b := range s.All(tpmdata.KindCRL) {
		l, err := cert.ParseCRL(b)
		if err != nil {
			return nil, err
		}
		fields = append(fields, attest.Field{Name: "crl[" + strconv.Itoa(i) + "]", Value: "from " + day(l.ThisUpdate) + " to " + day(l.NextUpdate), Meaning: "revocation list"})
	}
	values, err := q.split(s.One(tpmdata.KindValues))
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		fields = append(fields, attest.Field{Name: "PCR" + strconv.Itoa(v.pcr) + "." + bankName(v.bank), Value: hex.EncodeToString(v.bytes), Meaning: registerMeanings[v.pcr]})
	}
	if b := s.One(tpmdata.KindEventLog); b != nil {
		l, err := tcg.Parse(b)
		if err != nil {
			return nil, err
		}
		for i := range l.Events {
			fields = append(fields, describeEvent(i, &l.Events[i]))
		}
	}
	return fields, nil
}

func (q *Quote) describe() []attest.Field {
	safe := "NO"
	if q.Safe {
		safe = "YES"
	}
	f := []attest.Field{
		{Name: "qualifiedSigner", Value: hex.EncodeToString(q.QualifiedSigner), Meaning: "the signing key and all keys above it"},
		{Name: "extraData", Value: hex.EncodeToString(q.ExtraData), Meaning: "what the TPM was asked to sign along: a nonce"},
		{Name: "clock", Value: strconv.FormatUint(q.Clock, 10), Meaning: "milliseconds for which the TPM was on"},
		{Name: "resetCount", Value: strconv.FormatUint(uint64(q.ResetCount), 10), Meaning: "full starts; scrambled unless the key is of the endorsement or platform hierarchy"},
		{Name: "restartCount", Value: strconv.FormatUint(uint64(q.RestartCount), 10), Meaning: "suspends since the last full start; scrambled likewise"},
		{Name: "safe", Value: safe, Meaning: "whether the clock can't have gone back"},
		{Name: "firmwareVersion", Value: hex64(q.Firmware), Meaning: "the TPM's own software; scrambled likewise"},
	}
	for _, s := range q.Selections {
		list := ""
		for i := range registers {
			if s.PCRs>>i&1 == 1 {
				list += " " + strconv.Itoa(i)
			}
		}
		f = append(f, attest.Field{Name: "pcrSelect." + bankName(s.Bank), Value: "none" + list, Meaning: "registers that were signed"})
		if list != "" {
			f[len(f)-1].Value = list[1:]
		}
	}
	return append(f, attest.Field{Name: "pcrDigest", Value: hex.EncodeToString(q.Digest), Meaning: "hash over those registers"})
}

func (p *Public) describe(q *Quote) []attest.Field {
	kind := "RSA-" + strconv.Itoa(p.Bits)
	if p.Type == AlgECC {
		kind = "P-" + strconv.Itoa(8*len(p.X))
	}
	where := (&judge{parsed: parsed{quote: q, public: p}}).hierarchy()
	if where == "" {
		where = "below another key"
	}
	return []attest.Field{
		{Name: "key", Value: kind, Meaning: schemeName(p.Scheme, p.Hash)},
		{Name: "key.name", Value: hex.EncodeToString(p.Name()), Meaning: "hash of the key's public area: what a policy's keys lists"},
		{Name: "key.hierarchy", Value: where, Meaning: "where in the TPM the key lives"},
		{Name: "key.objectAttributes", Value: attributeNames(p.Attributes), Meaning: "what the TPM lets the key do"},
	}
}

// registerMeanings say what is measured into a register (PFP, section 3.3.4;
// UAPI Group, Linux TPM PCR Registry).
var registerMeanings = [registers]string{
	0: "the firmware", 1: "settings of the firmware and the machine", 2: "firmware of cards", 3: "settings of cards",
	4: "boot loader, and what it starts", 5: "settings of the boot loader, partition table", 6: "the machine's maker",
	7: "Secure Boot: whether it is on, and which keys it takes",
	8: "command lines that a boot loader read", 9: "files that a boot loader read", 10: "files that the running system opened (IMA)",
	11: "the parts of a unified kernel image", 12: "kernel command line and overrides", 13: "extensions of the system", 14: "keys of shim",
	15: "for the system to use", 16: "for tests",
	17: "a late launch", 18: "a late launch", 19: "a late launch", 20: "a late launch", 21: "a late launch", 22: "a late launch",
	23: "for applications to use",
}

func describeEvent(i int, e *tcg.Event) attest.Field {
	f := attest.Field{Name: "event[" + strconv.Itoa(i+1) + "].PCR" + strconv.Itoa(e.Register), Meaning: cmp.Or(tcg.TypeName(e.Type), "type 0x"+strconv.FormatUint(uint64(e.Type), 16))}
	for _, d := range e.Digests {
		if strong(d.Alg) {
			f.Value = hex.EncodeToString(d.Value)
			switch covered, ok := e.DataMatches(d.Alg); {
			case !e.Extends():
				f.Meaning += ", not measured"
			case ok:
				f.Meaning += ", " + printable(e.Data)
			case covered:
				f.Meaning += ", whose data was changed"
			}
			break
		}
	}
	return f
}

// printable writes the letters of data, which may be UTF-16, for people.
func printable(data []byte) string {
	var out []byte
	for _, c := range data[:min(len(data), 256)] {
		switch {
		case c >= 0x20 && c <= 0x7e:
			out = append(out, c)
		case c != 0:
			out = append(out, '.')
		}
	}
	return "“" + string(out) + "”"
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02") }
