// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package ohttp

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// hexBytes is a []byte that JSON has in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var err error
	*h, err = hex.DecodeString(s)
	return err
}

type standardVector struct {
	Name          string
	Chunked       bool
	PrivateKey    hexBytes `json:"private_key"`
	Config        hexBytes
	EphemeralKey  hexBytes `json:"ephemeral_key"`
	Message       []hexBytes
	Request       hexBytes
	Secret        hexBytes
	ResponseNonce hexBytes `json:"response_nonce"`
	Answer        []hexBytes
	Response      hexBytes
}

type vectorFile struct {
	Standards []standardVector
	Configs   []struct {
		Name    string
		Bytes   hexBytes
		Failure string
		IDs     []int
	}
	Own struct {
		Seed     hexBytes
		Digests  []string
		Message  hexBytes
		Requests []struct {
			Name     string
			Chunked  bool
			Bytes    hexBytes
			Failure  string
			Response hexBytes // to the message's own bytes
			Secret   hexBytes
			Nonce    hexBytes
		}
	}
}

func readVectors(t *testing.T) (v vectorFile) {
	t.Helper()
	doc, err := os.ReadFile("../spec/vectors/ohttp.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// server is a gateway with the vector's key.
func (v *standardVector) server(t *testing.T) *Server {
	t.Helper()
	k, _, _ := kem(KEMX25519)
	private, err := k.NewPrivateKey(v.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := newServerKey(v.Config[0], KEMX25519, private, []Suite{{KDFSHA256, AEADAES128}, {KDFSHA256, AEADChaCha20}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(key.config.exact, v.Config) {
		t.Errorf("configuration %x", key.config.exact)
	}
	return &Server{keys: []serverKey{key}}
}

func join(parts []hexBytes) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestStandardVectors(t *testing.T) {
	all := readVectors(t).Standards
	if len(all) != 2 {
		t.Fatalf("%d vectors", len(all))
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			c, ok, err := parseConfig(v.Config)
			if !ok || err != nil {
				t.Fatal(err)
			}
			// The gateway's half.
			var r *Responder
			var msg []byte
			if v.Chunked {
				var in io.Reader
				if in, r, err = v.server(t).OpenChunked(iotest.OneByteReader(bytes.NewReader(v.Request))); err == nil {
					msg, err = io.ReadAll(in)
				}
			} else {
				msg, r, err = v.server(t).Open(bytes.Clone(v.Request))
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(msg, join(v.Message)) || !bytes.Equal(r.secret, v.Secret) {
				t.Errorf("message %x, secret %x", msg, r.secret)
			}
			if r, err = answer(r.suite, r.secret, r.Enc, v.ResponseNonce); err != nil {
				t.Fatal(err)
			}
			var response []byte
			if v.Chunked {
				for i, part := range v.Answer {
					response = r.AppendChunk(response, part, i == len(v.Answer)-1)
				}
			} else {
				response = r.AppendWhole(response, v.Answer[0])
			}
			if !bytes.Equal(response, v.Response) {
				t.Errorf("response %x", response)
			}

			// The client's half, with the ephemeral key that the document gives.
			s := newFixedSender(t, &c, v.EphemeralKey, v.Chunked)
			header := c.header(Suite{KDFSHA256, AEADAES128})
			size := MaxChunk
			request := []byte(nil)
			var x *Exchange
			if v.Chunked {
				// The document's chunks are of 12, 13 and 0 bytes, which no client of
				// ours would make.
				request = append(header[:], s.enc...)
				for i, part := range v.Message {
					last := i == len(v.Message)-1
					sealed, _ := s.Seal(aad(last), part)
					if last {
						request = append(append(request, 0), sealed...)
					} else {
						request = append(appendLength(request, len(sealed)), sealed...)
					}
				}
				_, x, err = seal(header[:], Suite{KDFSHA256, AEADAES128}, s.enc, s, nil, size, true)
			} else {
				request, x, err = seal(header[:], Suite{KDFSHA256, AEADAES128}, s.enc, s, v.Message[0], size, false)
			}
			if err != nil || !bytes.Equal(request, v.Request) {
				t.Errorf("request %x, %v", request, err)
			}
			if !bytes.Equal(x.secret, v.Secret) {
				t.Errorf("the client's secret %x", x.secret)
			}
			var got []byte
			if v.Chunked {
				got, err = io.ReadAll(x.Reader(iotest.OneByteReader(bytes.NewReader(v.Response))))
			} else {
				got, err = x.Open(bytes.Clone(v.Response))
			}
			if err != nil || !bytes.Equal(got, join(v.Answer)) {
				t.Errorf("answer %x, %v", got, err)
			}
		})
	}
}

// TestSealInChunks: what the client's half writes in chunks is what the draft says, by
// a sender that is not the standard library's.
func TestSealInChunks(t *testing.T) {
	v := readVectors(t).Standards[1]
	c, _, err := parseConfig(v.Config)
	if err != nil {
		t.Fatal(err)
	}
	suite := Suite{KDFSHA256, AEADAES128}
	header := c.header(suite)
	msg := join(v.Message)
	for size := 1; size <= len(msg)+1; size++ {
		s := newFixedSender(t, &c, v.EphemeralKey, true)
		request, _, err := seal(header[:], suite, s.enc, s, msg, size, true)
		if err != nil {
			t.Fatal(err)
		}
		in, _, err := v.server(t).OpenChunked(bytes.NewReader(request))
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		buf := make([]byte, 100)
		for {
			n, err := in.Read(buf)
			if n > 0 {
				parts = append(parts, string(buf[:n]))
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if strings.Join(parts, "") != string(msg) || len(parts) != (len(msg)+size-1)/size {
			t.Errorf("in chunks of %d: %d parts, %q", size, len(parts), parts)
		}
	}
}

// fixedSender is HPKE's sending context of RFC 9180, section 5, in base mode with
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-128-GCM, and an ephemeral key that
// is given: the standard library's can't be told one.
type fixedSender struct {
	enc      []byte
	aead     cipher.AEAD
	base     []byte
	exporter []byte
	seq      uint64
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func labeledExtract(suite, salt, label, ikm string) []byte {
	return must(hkdf.Extract(sha256.New, []byte("HPKE-v1"+suite+label+ikm), []byte(salt)))
}

func labeledExpand(suite string, prk []byte, label, info string, n int) []byte {
	length := string(binary.BigEndian.AppendUint16(nil, uint16(n)))
	return must(hkdf.Expand(sha256.New, prk, length+"HPKE-v1"+suite+label+info, n))
}

func newFixedSender(t *testing.T, c *Config, ephemeral []byte, chunked bool) *fixedSender {
	t.Helper()
	e, err := ecdh.X25519().NewPrivateKey(ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ecdh.X25519().NewPublicKey(c.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dh := must(e.ECDH(public))
	enc := e.PublicKey().Bytes()
	const kemSuite = "KEM\x00\x20"
	shared := labeledExpand(kemSuite, labeledExtract(kemSuite, "", "eae_prk", string(dh)), "shared_secret", string(enc)+string(c.PublicKey), 32)

	const suite = "HPKE\x00\x20\x00\x01\x00\x01"
	label := requestLabel
	if chunked {
		label = chunkedRequestLabel
	}
	header := c.header(Suite{KDFSHA256, AEADAES128})
	context := "\x00" + string(labeledExtract(suite, "", "psk_id_hash", "")) + string(labeledExtract(suite, "", "info_hash", string(info(label, header[:]))))
	secret := labeledExtract(suite, string(shared), "secret", "")
	return &fixedSender{
		enc:      enc,
		aead:     must(Suite{KDFSHA256, AEADAES128}.cipher(labeledExpand(suite, secret, "key", context, 16))),
		base:     labeledExpand(suite, secret, "base_nonce", context, 12),
		exporter: labeledExpand(suite, secret, "exp", context, 32),
	}
}

func (s *fixedSender) Seal(aad, plaintext []byte) ([]byte, error) {
	nonce := bytes.Clone(s.base)
	for i := range 8 {
		nonce[11-i] ^= byte(s.seq >> (8 * i))
	}
	s.seq++
	return s.aead.Seal(nil, nonce, plaintext, aad), nil
}

func (s *fixedSender) Export(context string, n int) ([]byte, error) {
	return labeledExpand("HPKE\x00\x20\x00\x01\x00\x01", s.exporter, "sec", context, n), nil
}
