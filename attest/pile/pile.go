// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package pile sorts certificates and revocation lists out of files, as operators
// keep them: which is which, and whose. It looks at the form only, so that a
// machine can send along what belongs to its evidence without judging it; package
// cert judges.
package pile

import (
	"bytes"
	"encoding/pem"
)

// Object is a certificate or a revocation list, opened as far as it takes to
// see where it belongs. Nothing in it has been checked.
type Object struct {
	Raw             []byte
	List            bool
	Issuer, Subject []byte // names in DER, without their heads; a list has only an issuer
	Key             []byte // of a certificate: SubjectPublicKeyInfo, without its head
}

// Open reads what may be one or more PEM blocks, or DER.
func Open(b []byte) (found []Object, ok bool) {
	if block, rest := pem.Decode(b); block != nil {
		for ; block != nil; block, rest = pem.Decode(rest) {
			o, ok := openDER(block.Bytes)
			if !ok {
				return nil, false
			}
			found = append(found, o)
		}
		return found, true
	}
	o, ok := openDER(b)
	if !ok {
		return nil, false
	}
	return []Object{o}, true
}

// openDER reads one certificate (RFC 5280, section 4.1) or list (section 5.1).
// The two differ in the first field of what is signed: [0] or an INTEGER.
func openDER(b []byte) (o Object, ok bool) {
	outer, rest, _ := next(b, 0x30)
	o.Raw = b[:len(b)-len(rest)]
	tbs, _, _ := next(outer, 0x30)
	if len(tbs) == 0 || bytes.Count(rest, []byte{0}) != len(rest) { // data pages end in zeros
		return Object{}, false
	}
	order := []byte{0xa0, 0x02, 0x30, 0x30, 0x30, 0x30, 0x30} // version, serial, algorithm, issuer, validity, subject, key
	if o.List = tbs[0] == 0x02; o.List {
		order = []byte{0x02, 0x30, 0x30} // version, algorithm, issuer
	}
	var fields [][]byte
	for _, tag := range order {
		f, rest, ok := next(tbs, tag)
		if !ok {
			return Object{}, false
		}
		fields, tbs = append(fields, f), rest
	}
	if o.List {
		o.Issuer = fields[2]
		return o, true
	}
	o.Issuer, o.Subject, o.Key = fields[3], fields[5], fields[6]
	return o, true
}

// next takes one DER element of a tag from the front of b: its content and what
// follows it.
func next(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, b := uint64(b[1]), b[2:]
	if n >= 0x80 {
		size := int(n & 0x7f)
		if size == 0 || size > 3 || size > len(b) {
			return nil, nil, false
		}
		n = 0
		for _, c := range b[:size] {
			n = n<<8 | uint64(c)
		}
		b = b[size:]
	}
	if n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
