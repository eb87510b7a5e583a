// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package token is how a message is paid for without saying who pays. It is
// Privacy Pass (RFC 9577 and 9578) with token type 2, blind RSA (RFC 9474);
// spec/token.md is the law, and says where we depart from the RFCs and why.
//
// A person's device makes a token and blinds it. The account service, which
// knows the person, signs what it can't see, as often as the plan allows:
//
//	pending, blinded, err := token.Blind(key, challenge, rand.Reader)
//	// the account service: sig, err := privateKey.Sign(blinded)
//	tok, err := pending.Finish(sig)
//
// Later the device shows the token to the gateway, which doesn't know the
// person and can't tell which of all blinded tokens this one was:
//
//	fields, err := tok.Fields(message, refund)
//	// the gateway: spend, err := token.ParseSpend(fields)
//	//              err = spend.Verify(key, challenge.Digest(), headerDigest)
//	//              and then it keeps spend.ID(), so that nobody spends it again
//
// A token is bound to its holder: its nonce is the hash of a public key that is
// used this once, and whose private key signs the message that is paid for. A
// token that was copied from a disk or a wire is worth nothing.
//
// Keys are of a day. Their private half ([PrivateKey]) isn't in what a browser
// links.
package token

import (
	"crypto/sha256"
	"fmt"
	"io"
	"time"
)

const (
	// Type is the token type: Blind RSA (2048-bit), RFC 9578, section 8.2.2.
	Type = 2
	// Size is the size of a token: type [2] ‖ nonce [32] ‖ challenge digest
	// [32] ‖ token key id [32] ‖ authenticator [256] (RFC 9577, section 2.2).
	Size = 2 + 3*32 + BlindedSize
	// BlindedSize is the size of a blinded message and of a blind signature.
	BlindedSize = 256
	// SPKISize is the size of a public key's only encoding.
	SPKISize = len(spkiPrefix) + BlindedSize + len(spkiSuffix)
)

// A Failure names why a token, or what belongs to one, was refused. The list is
// closed; spec/token.md has it.
type Failure string

const (
	Missing         Failure = "token_missing"
	Malformed       Failure = "token_malformed"
	Foreign         Failure = "token_foreign"
	Expired         Failure = "token_expired"
	Future          Failure = "token_future"
	Invalid         Failure = "token_invalid"
	Spent           Failure = "token_spent"
	HolderInvalid   Failure = "holder_invalid"
	RefundMalformed Failure = "refund_malformed"
	RefundRefused   Failure = "refund_refused"
)

// Failures lists all of them.
var Failures = []Failure{Missing, Malformed, Foreign, Expired, Future, Invalid, Spent, HolderInvalid, RefundMalformed, RefundRefused}

// sentences are what each failure means and what to do, in the order of
// Failures: for whoever writes a client.
var sentences = [...]string{
	"this takes a token, and none was sent; send one in the field authorization",
	"the token isn't in the form of spec/token.md; make a new one",
	"the token is of another issuer or product; fetch one from this service's account",
	"the token's day is over; use one of today",
	"the token's day has not begun; use one of today",
	"the token's signature is wrong; fetch another",
	"the token has been spent; use another",
	"the holder's signature is wrong: it has to be over this message, by the key in the token's nonce",
	"the refund isn't in the form of spec/token.md; blind a new message for it",
	"no refund: an answer was begun, or another message was given before",
}

// An Error says that bytes were refused, and why.
type Error struct {
	Failure Failure
}

// Error returns the failure's sentence, which says what to do.
func (e *Error) Error() string {
	for i, f := range Failures {
		if f == e.Failure {
			return "token: " + sentences[i]
		}
	}
	return "token: " + string(e.Failure)
}

// Is makes errors.Is(err, &Error{Failure: f}) find an error by its failure.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Failure == e.Failure
}

func fail(f Failure) error { return &Error{f} }

// Day counts the days since 1970-01-01, in UTC. Keys, and with them tokens, are
// each of one day.
type Day int32

const (
	secondsPerDay = 24 * 60 * 60
	// Early and Late are how long before its day's start and after its end a
	// token is good, for clocks that are wrong and answers under way.
	Early = 5 * time.Minute
	Late  = time.Hour
)

// DayOf returns the day of t in UTC.
func DayOf(t time.Time) Day {
	s := t.Unix()
	d := s / secondsPerDay
	if s%secondsPerDay < 0 {
		d--
	}
	return Day(d)
}

// ParseDay reads a day as String writes it: "2026-11-27", and no other form.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Format(time.DateOnly) != s {
		return 0, fmt.Errorf("token: a day is written as 2026-11-27, not as %.20q", s)
	}
	return DayOf(t), nil
}

// String returns the day as "2026-11-27".
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// Start returns the first moment of the day, in UTC.
func (d Day) Start() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// Ends returns the first moment at which no token of the day is good any more:
// the day's end and [Late].
func (d Day) Ends() time.Time { return (d + 1).Start().Add(Late) }

// Good returns nil when tokens of the day can be spent at now, and an *Error
// with [Future] or [Expired] when not.
func (d Day) Good(now time.Time) error {
	switch {
	case now.Before(d.Start().Add(-Early)):
		return fail(Future)
	case !now.Before(d.Ends()):
		return fail(Expired)
	}
	return nil
}

// Challenge names what tokens are for: who issues them and which product takes
// them. It is the same for everybody and every day.
type Challenge struct {
	// Issuer is the issuer's name, such as "tokens.sotto.example".
	Issuer string
	// Product is what the token pays for, such as "sotto".
	Product string
}

// maxName bounds each name of a challenge.
const maxName = 255

// Check returns an error when a name is empty, longer than 255 bytes, or holds
// anything but lower-case letters, digits, '.', '-' and, for a port, ':'.
func (c Challenge) Check() error {
	for _, name := range [...]string{c.Issuer, c.Product} {
		if name == "" || len(name) > maxName {
			return fmt.Errorf("token: issuer and product are names of 1 to %d characters", maxName)
		}
		for i := range len(name) {
			switch b := name[i]; {
			case 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '.', b == '-', b == ':':
			default:
				return fmt.Errorf("token: character %q in the name of an issuer or product", rune(b))
			}
		}
	}
	return nil
}

// Bytes returns the TokenChallenge of RFC 9577, section 2.1: the issuer's name,
// no redemption context, and the product as the origin. The names must be those
// that Check accepts.
func (c Challenge) Bytes() []byte {
	return challengeBytes(c.Issuer, nil, c.Product)
}

func challengeBytes(issuer string, context []byte, origin string) []byte {
	u16 := func(n int) []byte { return []byte{byte(n >> 8), byte(n)} }
	return join(typeBytes, u16(len(issuer)), []byte(issuer), []byte{byte(len(context))}, context, u16(len(origin)), []byte(origin))
}

// Digest returns the SHA-256 of Bytes, as it stands in each token.
func (c Challenge) Digest() [32]byte { return sha256.Sum256(c.Bytes()) }

// ParseChallenge reads what [Challenge.Bytes] wrote. Other challenges of RFC
// 9577 than ours, such as one with a redemption context, are refused.
func ParseChallenge(b []byte) (Challenge, error) {
	next := func(width int) []byte {
		if len(b) < width {
			b = nil
			return nil
		}
		n := 0
		for _, c := range b[:width] {
			n = n<<8 | int(c)
		}
		if len(b) < width+n {
			b = nil
			return nil
		}
		v := b[width : width+n]
		b = b[width+n:]
		return v
	}
	whole := b
	if len(b) < 2 || len(b) > 2+2+maxName+1+2+maxName {
		return Challenge{}, fail(Malformed)
	}
	b = b[2:]
	c := Challenge{Issuer: string(next(2))}
	next(1)
	c.Product = string(next(2))
	if c.Check() != nil || string(c.Bytes()) != string(whole) {
		return Challenge{}, fail(Malformed)
	}
	return c, nil
}

// hidden, embedded, keeps a type's contents out of formatted output, logs and
// JSON, whichever verb or handler is used.
type hidden struct{}

const hiddenText = "[secret]"

// Format writes a placeholder in place of the secret, for every verb.
func (hidden) Format(s fmt.State, _ rune) { io.WriteString(s, hiddenText) }

// String returns a placeholder in place of the secret.
func (hidden) String() string { return hiddenText }

// GoString returns a placeholder in place of the secret.
func (hidden) GoString() string { return hiddenText }

// MarshalJSON returns a placeholder in place of the secret.
func (hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenText + `"`), nil }
