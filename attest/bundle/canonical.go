// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// decodeCanonical decodes doc into v, then encodes v again and compares. One
// comparison so refuses white space, unknown and repeated fields, escapes,
// other spellings of a number, other alphabets of base64, and trailing bytes,
// none of which another implementation must then agree with us about.
func decodeCanonical(doc []byte, limit int, v any) error {
	if len(doc) > limit {
		return fmt.Errorf("it is longer than %d bytes", limit)
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		// The decoder's own words quote the input, which a stranger wrote.
		return errors.New("it is not the expected JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes follow its end")
	}
	again, err := json.Marshal(v)
	if err != nil || !bytes.Equal(again, doc) {
		return errors.New("it is not in canonical form")
	}
	return nil
}

// plain reports whether s holds 1 to limit printable ASCII characters and none
// that JSON encoders write in more than one way.
func plain(s string, limit int) bool {
	return s != "" && plainOrEmpty(s, limit)
}

func plainOrEmpty(s string, limit int) bool {
	if len(s) > limit {
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
