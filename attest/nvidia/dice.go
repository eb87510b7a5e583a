// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia

import (
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/cert/der"
)

const (
	oidHopper    = "2.23.133.5.4.1"   // tcg-dice-TcbInfo by its number, but in an older form
	oidBlackwell = "2.23.133.5.4.1.1" // TCB info under a number of NVIDIA's choice
	oidSHA384    = "2.16.840.1.101.3.4.2.2"
)

// firmwareID returns the measurement of the firmware to which the boot ROM gave
// the leaf's key, or nil. The extension has two forms:
//
//	Hopper:    SEQUENCE { version INTEGER (1), deviceID SubjectPublicKeyInfo, FWID }
//	Blackwell: DiceTcbInfo (TCG DICE Attestation Architecture 1.1, section 6.1.1),
//	           of whose fwids [6] the first one counts
//	FWID:      SEQUENCE { hashAlg OBJECT IDENTIFIER (SHA-384), digest OCTET STRING }
//
// What isn't there is read as nothing, and to read on from nothing fails: so not
// every step is asked whether it went well.
func firmwareID(leaf *cert.Certificate) []byte {
	if value, ok := leaf.Extension(oidHopper); ok {
		r := der.New(value)
		info, _ := r.In(der.Sequence)
		version, _ := info.Int(1)
		info.Whole(der.Sequence)
		id := fwid(&info)
		if !r.Empty() || version != 1 || !info.Empty() {
			return nil
		}
		return id
	}
	value, _ := leaf.Extension(oidBlackwell)
	r := der.New(value)
	info, _ := r.In(der.Sequence)
	if !r.Empty() {
		return nil
	}
	// All fields are optional, in order of their tags.
	var id []byte
	for last := byte(0); !info.Empty(); {
		tag, content, _, _ := info.Element() // 0, again and so out of order, if there is none
		if tag&0x1f < last {
			return nil
		}
		last = tag&0x1f + 1
		if tag == der.Context(6) {
			list := der.New(content)
			id = fwid(&list)
		}
	}
	return id
}

func fwid(r *der.Reader) []byte {
	s, _ := r.In(der.Sequence)
	alg, _ := s.OID()
	digest, _ := s.Next(der.OctetString)
	if !s.Empty() || alg != oidSHA384 || len(digest) != HashSize {
		return nil
	}
	return digest
}
