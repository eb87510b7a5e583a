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
	"errors"
	"slices"
	"strconv"
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

// OpenAll opens files and parts certificates from lists. What is there twice it
// returns once.
func OpenAll(files [][]byte) (certs, lists []Object, err error) {
	for i, f := range files {
		found, ok := Open(f)
		if !ok {
			return nil, nil, errors.New("number " + strconv.Itoa(i+1) + " of the files is neither a certificate nor a revocation list")
		}
		for _, o := range found {
			if o.List {
				lists = Add(lists, o)
			} else {
				certs = Add(certs, o)
			}
		}
	}
	return certs, lists, nil
}

// Add adds an object to a list that doesn't have it yet.
func Add(list []Object, o Object) []Object {
	if slices.ContainsFunc(list, func(p Object) bool { return bytes.Equal(p.Raw, o.Raw) }) {
		return list
	}
	return append(list, o)
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
