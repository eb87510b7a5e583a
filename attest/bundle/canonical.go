// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bundle

import "encoding/base64"

// plain reports whether s holds 1 to limit printable ASCII characters and none
// that JSON encoders write in more than one way.
func plain(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c > 0x7e:
			return false
		case c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			return false
		}
	}
	return true
}

func lowerHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// digest reports whether s is "none" or "sha256:" and 64 lower-case hex digits.
func digest(s string) bool {
	const prefix = "sha256:"
	if s == "none" {
		return true
	}
	return len(s) == len(prefix)+64 && s[:len(prefix)] == prefix && lowerHex(s[len(prefix):], 64)
}

// Base64URL is a byte string that JSON shows as base64url without padding
// (RFC 4648, section 5).
type Base64URL []byte

// MarshalText implements [encoding.TextMarshaler].
func (b Base64URL) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *Base64URL) UnmarshalText(text []byte) error {
	out, err := base64.RawURLEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return err
	}
	*b = out
	return nil
}
