// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package keylog

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token"
)

// Format is the only format of statements there is.
const Format = "sotto-keys/v1"

// Kinds of statements.
const (
	KindDay   = "day"
	KindNodes = "nodes"
)

// Limits of a statement.
const (
	MaxStatement = 4096    // bytes of its text
	MaxSigned    = 8192    // bytes with its signatures: what a key log takes
	MaxNodes     = 1 << 20 // machines of a list
	maxName      = 255     // bytes of a product or an issuer
	maxDigests   = 8       // of configs of the gateway's door
	maxNumber    = 1 << 40 // of an index and a time
)

// Statement is one entry of a key log: the keys of a day, or the list of machines.
// It has one encoding only.
type Statement struct {
	Product string
	Index   int64  // the entry of the log that it is for; at another place it doesn't count
	Time    int64  // when it was made, Unix seconds
	Kind    string // [KindDay] or [KindNodes]

	// Of a day.
	Day    token.Day // that of Time in UTC, or the next
	Issuer string
	Issue  []byte   // SPKI, which package token reads
	Refund []byte   // SPKI, or nil for none
	OHTTP  []string // "sha256:<hex>" of each config of the gateway's door, sorted; may be empty

	// Of a list of machines.
	Size int64     // how many, from 0 to [MaxNodes]
	Root tlog.Hash // see [NewList]
}

// statementJSON has the fields of both kinds, to be read; which are there and in
// which order is found by writing it again.
type statementJSON struct {
	Format  string   `json:"format"`
	Product string   `json:"product"`
	Index   int64    `json:"index"`
	Time    int64    `json:"time"`
	Kind    string   `json:"kind"`
	Day     string   `json:"day"`
	Issuer  string   `json:"issuer"`
	Issue   string   `json:"issue"`
	Refund  string   `json:"refund"`
	OHTTP   []string `json:"ohttp"`
	Size    int64    `json:"size"`
	Root    string   `json:"root"`
}

// ParseStatement reads the text of a statement (spec/keylog.md, "Statement") and
// refuses whatever isn't in its one form. The error is a [*tlog.Error] with
// [FailMalformed].
func ParseStatement(text []byte) (Statement, error) {
	if len(text) > MaxStatement {
		return Statement{}, malformed("a statement is too long")
	}
	var j statementJSON
	if json.Unmarshal(text, &j) != nil {
		return Statement{}, malformed("a statement is not the expected JSON")
	}
	s := Statement{Product: j.Product, Index: j.Index, Time: j.Time, Kind: j.Kind}
	switch j.Kind {
	case KindDay:
		d, err := token.ParseDay(j.Day)
		if err != nil {
			return Statement{}, malformed("the day of a statement is not written as 2026-11-27")
		}
		s.Day, s.Issuer, s.OHTTP = d, j.Issuer, j.OHTTP
		s.Issue, _ = base64.StdEncoding.DecodeString(j.Issue) // what it can't read is written otherwise
		s.Refund, _ = base64.StdEncoding.DecodeString(j.Refund)
	case KindNodes:
		s.Size = j.Size
		_ = s.Root.UnmarshalText([]byte(j.Root)) // what it can't read is written otherwise
	}
	again, err := s.Encode()
	if err != nil {
		return Statement{}, err
	}
	if string(again) != string(text) {
		return Statement{}, malformed("a statement is not in its one form")
	}
	return s, nil
}

// Encode returns the text of the statement, or what no client would accept in it,
// as a [*tlog.Error] with [FailMalformed].
func (s Statement) Encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	// Names hold nothing that JSON would escape.
	b := `{"format":"` + Format + `","product":"` + s.Product + `","index":` + strconv.FormatInt(s.Index, 10) +
		`,"time":` + strconv.FormatInt(s.Time, 10) + `,"kind":"` + s.Kind + `",`
	if s.Kind == KindNodes {
		b += `"size":` + strconv.FormatInt(s.Size, 10) + `,"root":"` + s.Root.String() + `"`
	} else {
		b += `"day":"` + s.Day.String() + `","issuer":"` + s.Issuer + `","issue":"` + base64.StdEncoding.EncodeToString(s.Issue) +
			`","refund":"` + base64.StdEncoding.EncodeToString(s.Refund) + `","ohttp":[`
		if len(s.OHTTP) > 0 {
			b += `"` + strings.Join(s.OHTTP, `","`) + `"`
		}
		b += "]"
	}
	return []byte(b + "}\n"), nil
}

func (s Statement) check() error {
	switch {
	case !name(s.Product):
		return malformed("the product of a statement is not a plain name")
	case s.Index < 0 || s.Index > maxNumber:
		return malformed("the index of a statement is not between 0 and 2^40")
	case s.Time < 0 || s.Time > maxNumber:
		return malformed("the time of a statement is not between 0 and 2^40")
	}
	if s.Kind == KindNodes {
		if s.Size < 0 || s.Size > MaxNodes {
			return malformed("the size of a list of machines is not between 0 and " + strconv.Itoa(MaxNodes))
		}
		return nil
	}
	if s.Kind != KindDay {
		return malformed("a statement is of another kind than day and nodes")
	}
	// So nobody can use up the days to come, which rise: a stolen key, or a clock
	// that is wrong for an hour.
	if today := token.Day(s.Time / 86400); s.Day != today && s.Day != today+1 {
		return malformed("the day of a statement is neither that of its time nor the next")
	}
	if !name(s.Issuer) {
		return malformed("the issuer of a statement is not a plain name")
	}
	if _, err := token.ParsePublicKey(s.Issue); err != nil {
		return malformed("the issue key of a statement is not a key for tokens")
	}
	if len(s.Refund) > 0 {
		if _, err := token.ParsePublicKey(s.Refund); err != nil {
			return malformed("the refund key of a statement is not a key for tokens")
		}
	}
	if string(s.Refund) == string(s.Issue) {
		return malformed("a statement has one key for issue and refund")
	}
	if len(s.OHTTP) > maxDigests {
		return malformed("a statement has more than " + strconv.Itoa(maxDigests) + " digests of configs")
	}
	for i, d := range s.OHTTP {
		if !digest(d) || i > 0 && s.OHTTP[i-1] >= d {
			return malformed("the configs of a statement are not digests that rise")
		}
	}
	return nil
}

// Sign returns the statement as an entry of the log: a note, signed.
func (s Statement) Sign(by tlog.Signer) ([]byte, error) {
	text, err := s.Encode()
	if err != nil {
		return nil, err
	}
	return by.Note(text)
}

// name reports whether s is a name as token.Challenge has them.
func name(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return true
}

// digest reports whether s is "sha256:" and 64 lower-case hex digits.
func digest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && lowerHex(hex)
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
