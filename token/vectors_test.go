// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package token

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"math/big"
	"os"
	"testing"

	"github.com/cloudflare/circl/blindsign/blindrsa"

	"github.com/sotto-chat/sotto/seal/bhttp"
)

// spec/vectors/token.json has the vectors of the RFCs and our own, which are for
// every implementation. After a change of the format, make ours anew with
//
//	go test ./token -run TestVectors -update

var update = flag.Bool("update", false, "make our own vectors anew")

const vectorFile = "../spec/vectors/token.json"

// hexBytes is bytes written in hexadecimal.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

type vectors struct {
	About   string          `json:"about"`
	RFC9474 []vector9474    `json:"rfc9474"`
	RFC9577 []vector9577    `json:"rfc9577"`
	RFC9578 vectors9578     `json:"rfc9578"`
	Blind   []vectorBlind   `json:"blind"`
	Spend   []vectorSpend   `json:"spend"`
	Keys    []vectorRefused `json:"keys"`
	// Challenges are refused, or read and written again as the same bytes.
	Challenges []vectorRefused `json:"challenges"`
}

type vector9474 struct {
	Name       string   `json:"name"`
	N          hexBytes `json:"n"`
	E          hexBytes `json:"e"`
	D          hexBytes `json:"d"`
	P          hexBytes `json:"p"`
	Q          hexBytes `json:"q"`
	Msg        hexBytes `json:"msg"`
	Salt       hexBytes `json:"salt"`
	Inv        hexBytes `json:"inv"`
	BlindedMsg hexBytes `json:"blinded_msg"`
	BlindSig   hexBytes `json:"blind_sig"`
	Sig        hexBytes `json:"sig"`
}

type vector9577 struct {
	Issuer  string   `json:"issuer_name"`
	Context hexBytes `json:"redemption_context"`
	Origin  string   `json:"origin_info"`
	Nonce   hexBytes `json:"nonce"`
	KeyID   hexBytes `json:"token_key_id"`
	Input   hexBytes `json:"token_authenticator_input"`
}

type vectors9578 struct {
	Private hexBytes     `json:"skS"` // PEM
	Public  hexBytes     `json:"pkS"`
	Vectors []vector9578 `json:"vectors"`
}

type vector9578 struct {
	Challenge hexBytes `json:"token_challenge"`
	Nonce     hexBytes `json:"nonce"`
	Blind     hexBytes `json:"blind"`
	Salt      hexBytes `json:"salt"`
	Request   hexBytes `json:"token_request"`
	Response  hexBytes `json:"token_response"`
	Token     hexBytes `json:"token"`
}

type vectorBlind struct {
	Name     string   `json:"name"`
	Seed     hexBytes `json:"seed"`
	Issuer   string   `json:"issuer"`
	Product  string   `json:"product"`
	Blinded  hexBytes `json:"blinded"`
	BlindSig hexBytes `json:"blind_sig"`
	Token    hexBytes `json:"token"`
}

type vectorSpend struct {
	Name    string `json:"name"`
	Expect  string `json:"expect"`
	Issuer  string `json:"issuer"` // the challenge of who takes it
	Product string `json:"product"`
	// Request is "spend", on the message with this envelope header, or "refund".
	Request string      `json:"request"`
	Header  hexBytes    `json:"header_digest,omitempty"`
	Fields  [][2]string `json:"fields"`
	ID      hexBytes    `json:"id,omitempty"`
}

type vectorRefused struct {
	Name   string   `json:"name"`
	Expect string   `json:"expect"`
	Bytes  hexBytes `json:"bytes"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var v vectors
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// rfcKey returns the key of RFC 9578's vectors, with which ours are made too.
func rfcKey(t testing.TB, v *vectors9578) PrivateKey {
	t.Helper()
	block, rest := pem.Decode(v.Private)
	if block == nil || len(rest) > 0 {
		t.Fatal("no key in the vectors")
	}
	k, err := ParsePrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVectors(t *testing.T) {
	v := readVectors(t)
	key := rfcKey(t, &v.RFC9578)
	if *update {
		makeVectors(t, &v, key)
		b, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("RFC 9474", func(t *testing.T) { run9474(t, v.RFC9474) })
	t.Run("RFC 9577", func(t *testing.T) { run9577(t, v.RFC9577) })
	t.Run("RFC 9578", func(t *testing.T) { run9578(t, key, &v.RFC9578) })
	t.Run("blind", func(t *testing.T) { runBlind(t, key, v.Blind) })
	t.Run("spend", func(t *testing.T) { runSpend(t, key.Public(), v.Spend) })
	t.Run("keys", func(t *testing.T) {
		for _, v := range v.Keys {
			k, err := ParsePublicKey(v.Bytes)
			if (err == nil) != (v.Expect == "ok") || err != nil && err != ErrKey {
				t.Errorf("%s: %v", v.Name, err)
			}
			if err == nil && !bytes.Equal(k.SPKI(), v.Bytes) {
				t.Errorf("%s: written as other bytes", v.Name)
			}
		}
	})
	t.Run("challenges", func(t *testing.T) {
		for _, v := range v.Challenges {
			c, err := ParseChallenge(v.Bytes)
			checkFailure(t, v.Name, err, v.Expect)
			if err == nil && !bytes.Equal(c.Bytes(), v.Bytes) {
				t.Errorf("%s: written as other bytes", v.Name)
			}
		}
	})
}

// checkFailure checks that an error is the one that is expected.
func checkFailure(t *testing.T, name string, err error, expect string) {
	t.Helper()
	got := "ok"
	var failure *Error
	if errors.As(err, &failure) {
		got = string(failure.Failure)
	} else if err != nil {
		got = err.Error()
	}
	if got != expect {
		t.Errorf("%s: %s, want %s", name, got, expect)
	}
}

// run9474 checks that the library does what the RFC says in the variant that we
// use: appendix A, with a key of 4096 bits.
func run9474(t *testing.T, all []vector9474) {
	if len(all) != 1 {
		t.Fatalf("%d vectors", len(all))
	}
	for _, v := range all {
		n := new(big.Int).SetBytes(v.N)
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: n, E: int(new(big.Int).SetBytes(v.E).Int64())},
			D:         new(big.Int).SetBytes(v.D),
			Primes:    []*big.Int{new(big.Int).SetBytes(v.P), new(big.Int).SetBytes(v.Q)},
		}
		if v.Name != variant.String() {
			t.Errorf("a vector of %s, we use %s", v.Name, variant)
		}
		c, err := blindrsa.NewClient(variant, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		r := new(big.Int).ModInverse(new(big.Int).SetBytes(v.Inv), n)
		blinded, state, err := c.Blind(io.MultiReader(bytes.NewReader(v.Salt), bytes.NewReader(r.FillBytes(make([]byte, len(v.N))))), v.Msg)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(blinded, v.BlindedMsg) {
			t.Error("another blinded message")
		}
		sig, err := blindrsa.NewSigner(key).BlindSign(v.BlindedMsg)
		if err != nil || !bytes.Equal(sig, v.BlindSig) {
			t.Errorf("another blind signature: %v", err)
		}
		sig, err = c.Finalize(state, v.BlindSig)
		if err != nil || !bytes.Equal(sig, v.Sig) {
			t.Errorf("another signature: %v", err)
		}
	}
}

// run9577 checks appendix A of RFC 9577: what of a challenge stands in a token.
func run9577(t *testing.T, all []vector9577) {
	if len(all) != 5 {
		t.Fatalf("%d vectors", len(all))
	}
	for i, v := range all {
		digest := sha256Sum(challengeBytes(v.Issuer, v.Context, v.Origin))
		if got := inputOf([32]byte(v.Nonce), digest, [32]byte(v.KeyID)); !bytes.Equal(got, v.Input) {
			t.Errorf("%d: got %x", i, got)
		}
		// Ours are those without a context and with an origin.
		c, err := ParseChallenge(challengeBytes(v.Issuer, v.Context, v.Origin))
		if ours := len(v.Context) == 0 && v.Origin != ""; (err == nil) != ours {
			t.Errorf("%d: %v", i, err)
		} else if ours && c.Digest() != digest {
			t.Errorf("%d: another challenge", i)
		}
	}
}

// run9578 checks appendix B.2 of RFC 9578: a token's whole way.
func run9578(t *testing.T, key PrivateKey, all *vectors9578) {
	if !bytes.Equal(key.Public().SPKI(), all.Public) {
		t.Error("another encoding of the public key")
	}
	for i, v := range all.Vectors {
		p := &Pending{key: key.Public(), challenge: sha256Sum(v.Challenge)}
		if err := p.blindInput([32]byte(v.Nonce), io.MultiReader(bytes.NewReader(v.Salt), bytes.NewReader(v.Blind))); err != nil {
			t.Fatal(err)
		}
		// TokenRequest: type, the last byte of the key id, the blinded message.
		id := key.Public().ID()
		request := append(binary.BigEndian.AppendUint16(nil, Type), id[31])
		if request = append(request, p.Blinded()...); !bytes.Equal(request, v.Request) {
			t.Errorf("%d: another request", i)
		}
		sig, err := key.Sign(p.Blinded())
		if err != nil || !bytes.Equal(sig, v.Response) {
			t.Errorf("%d: another response: %v", i, err)
		}
		tok, err := p.Finish(v.Response)
		if err != nil || !bytes.Equal(tok.Marshal(), v.Token) {
			t.Errorf("%d: another token: %v", i, err)
		}
		if err := verifySignature(key.Public(), v.Token); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// runBlind checks what comes of a seed. A stored one has to stay good.
func runBlind(t *testing.T, key PrivateKey, all []vectorBlind) {
	for _, v := range all {
		p, err := Resume(key.Public(), Challenge{v.Issuer, v.Product}, [32]byte(v.Seed))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Blinded(), v.Blinded) {
			t.Errorf("%s: another blinded message", v.Name)
		}
		sig, err := key.Sign(v.Blinded)
		if err != nil || !bytes.Equal(sig, v.BlindSig) {
			t.Errorf("%s: another blind signature: %v", v.Name, err)
		}
		tok, err := p.Finish(v.BlindSig)
		if err != nil || !bytes.Equal(tok.Marshal(), v.Token) {
			t.Errorf("%s: another token: %v", v.Name, err)
		}
		digest := sha512.Sum384(v.Token[:Size-BlindedSize])
		if rsa.VerifyPSS(&key.rsa.PublicKey, crypto.SHA384, digest[:], v.Token[Size-BlindedSize:], &rsa.PSSOptions{SaltLength: 48}) != nil {
			t.Errorf("%s: not a signature by the standard library", v.Name)
		}
	}
}

// runSpend checks what a gateway says to requests.
func runSpend(t *testing.T, key PublicKey, all []vectorSpend) {
	seen := map[string]bool{}
	for _, v := range all {
		seen[v.Expect] = true
		var fields []bhttp.Field
		for _, f := range v.Fields {
			fields = append(fields, bhttp.Field{Name: f[0], Value: f[1]})
		}
		s, err := ParseSpend(fields)
		digest := Challenge{v.Issuer, v.Product}.Digest()
		if err == nil && v.Request == "refund" {
			err = s.VerifyRefund(key, digest)
		} else if err == nil {
			err = s.Verify(key, digest, [32]byte(v.Header))
		}
		checkFailure(t, v.Name, err, v.Expect)
		if id := s.ID(); err == nil && !bytes.Equal(id[:], v.ID) {
			t.Errorf("%s: another id", v.Name)
		}
	}
	for _, f := range []Failure{"ok", Missing, Malformed, Foreign, Invalid, HolderInvalid, RefundMalformed} {
		if !seen[string(f)] {
			t.Errorf("no vector for %s", f)
		}
	}
}
