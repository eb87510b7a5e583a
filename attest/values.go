// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Values are the values that a rule accepts in one field. Nil asks for nothing.
type Values [][]byte

// ReadValues reads the list of a rule, in lower-case hex. Each value has one of the
// sizes, in bytes. A list that is there isn't empty.
func ReadValues(rule string, list []string, sizes ...int) (Values, error) {
	if list != nil && len(list) == 0 {
		return nil, errors.New(rule + " is an empty list")
	}
	var out Values
	for _, s := range list {
		b, _ := hex.DecodeString(s) // of what it can't decode, the text of b is shorter
		if hex.EncodeToString(b) != s || !slices.Contains(sizes, len(b)) {
			return nil, errors.New(rule + " holds something else than " + strconv.Itoa(sizes[0]) + " bytes in lower-case hex")
		}
		out = append(out, b)
	}
	return out, nil
}

// Has reports whether b is one of the values.
func (v Values) Has(b []byte) bool {
	return slices.ContainsFunc(v, func(w []byte) bool { return bytes.Equal(w, b) })
}

// String writes the values for people.
func (v Values) String() string {
	var out []string
	for _, b := range v {
		out = append(out, hex.EncodeToString(b))
	}
	return strings.Join(out, " or ")
}
