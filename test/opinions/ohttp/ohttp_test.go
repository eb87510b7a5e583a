// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package ohttp has OpenPCC's encapsulation (twoway, on CIRCL's HPKE) talk to ours, in
// both directions: their client through our relay to our gateway, and our client
// through our relay to a gateway made of theirs, in one piece and in chunks, with both
// KEMs and both AEADs.
package ohttp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudflare/circl/hpke"
	"github.com/openpcc/twoway"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/gateway"
	ours "github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/relay"
	"github.com/sotto-chat/sotto/seal/bhttp"
)

// relayTo starts our relay before a gateway.
func relayTo(t *testing.T, gateway string) string {
	t.Helper()
	r, err := relay.New(relay.Config{Gateway: gateway})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r.Handler())
	t.Cleanup(s.Close)
	return s.URL
}

// How the two write the labels and the types.
func names(chunked bool) (req, res, reqType, resType string, opts []twoway.Option) {
	if chunked {
		return "message/bhttp chunked request", "message/bhttp chunked response", ours.ChunkedRequestType, ours.ChunkedResponseType, []twoway.Option{twoway.EnableChunking()}
	}
	return "message/bhttp request", "message/bhttp response", ours.RequestType, ours.ResponseType, nil
}

func message(t *testing.T, method, path string, body []byte) []byte {
	t.Helper()
	b, err := (&bhttp.Request{Method: method, Scheme: "https", Authority: "gateway.invalid", Path: path, Body: body}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func nobody(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }

// TestTheirClient: OpenPCC's sender asks our gateway through our relay.
func TestTheirClient(t *testing.T) {
	g, err := gateway.New(gateway.Config{Nodes: []string{"http://192.0.2.1"}, OHTTP: []ours.Seed{ours.NewSeed()}, Dial: nobody})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(g.Handler())
	defer s.Close()
	at := relayTo(t, s.URL)
	resp, err := http.Get(at + "/ohttp-keys")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []hpke.KEM{hpke.KEM_XWING, hpke.KEM_X25519_HKDF_SHA256} {
		n := binary.BigEndian.Uint16(doc)
		config := doc[2 : 2+n]
		doc = doc[2+n:]
		kem := hpke.KEM(binary.BigEndian.Uint16(config[1:]))
		if kem != want {
			t.Fatalf("configuration %d is of KEM %#x", i, kem)
		}
		public, err := kem.Scheme().UnmarshalBinaryPublicKey(config[3 : 3+kem.Scheme().PublicKeySize()])
		if err != nil {
			t.Fatal(err)
		}
		for _, aead := range []hpke.AEAD{hpke.AEAD_AES128GCM, hpke.AEAD_ChaCha20Poly1305} {
			for _, chunked := range []bool{false, true} {
				for _, c := range []struct {
					msg    []byte
					status int
					want   string
				}{
					{message(t, "GET", "/sotto/v1/nodes", nil), 200, `{"v":1,`},
					{message(t, "POST", "/sotto/v1/nothing", bytes.Repeat([]byte("words "), 20_000)), 404, "not_found"},
				} {
					name := fmt.Sprintf("KEM %#x, AEAD %d, chunked %v", kem, aead, chunked)
					req, res, reqType, resType, opts := names(chunked)
					sender, err := twoway.NewRequestSender(hpke.NewSuite(kem, hpke.KDF_HKDF_SHA256, aead), config[0], public, rand.Reader)
					if err != nil {
						t.Fatal(err)
					}
					sealer, err := sender.NewRequestSealer(bytes.NewReader(c.msg), []byte(req), opts...)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := http.Post(at, reqType, struct{ io.Reader }{sealer})
					if err != nil {
						t.Fatal(err)
					}
					if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != resType {
						b, _ := io.ReadAll(resp.Body)
						t.Fatalf("%s: %d %s", name, resp.StatusCode, b)
					}
					opener, err := sealer.NewResponseOpener(resp.Body, []byte(res), opts...)
					if err != nil {
						t.Fatal(err)
					}
					in, err := bhttp.ReadResponse(opener)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					b, err := io.ReadAll(in.Body)
					resp.Body.Close()
					if err != nil || in.Status != c.status || !strings.Contains(string(b), c.want) {
						t.Errorf("%s: %d %s, %v", name, in.Status, b, err)
					}
				}
			}
		}
	}
}

// TestOurClient: our client asks a gateway with OpenPCC's receiver through our relay.
func TestOurClient(t *testing.T) {
	for _, kem := range []hpke.KEM{hpke.KEM_X25519_HKDF_SHA256, hpke.KEM_XWING} {
		for _, aead := range []hpke.AEAD{hpke.AEAD_AES128GCM, hpke.AEAD_ChaCha20Poly1305} {
			t.Run(fmt.Sprintf("KEM %#x, AEAD %d", kem, aead), func(t *testing.T) {
				public, private, err := kem.Scheme().GenerateKeyPair()
				if err != nil {
					t.Fatal(err)
				}
				raw, err := public.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				config := append(binary.BigEndian.AppendUint16([]byte{7}, uint16(kem)), raw...)
				config = append(config, 0, 4, 0, 1, 0, byte(aead))
				keys := append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
				receiver, err := twoway.NewRequestReceiver(hpke.NewSuite(kem, hpke.KDF_HKDF_SHA256, aead), 7, private, rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				next := make(chan struct{})
				mux := http.NewServeMux()
				mux.HandleFunc("GET /gw-keys", func(w http.ResponseWriter, r *http.Request) { w.Write(keys) })
				mux.HandleFunc("POST /gw", func(w http.ResponseWriter, r *http.Request) {
					req, res, _, resType, opts := names(r.Header.Get("Content-Type") == ours.ChunkedRequestType)
					opener, err := receiver.NewRequestOpener(r.Body, []byte(req), opts...)
					if err != nil {
						t.Error(err)
						return
					}
					msg, err := io.ReadAll(opener)
					if err != nil {
						t.Error(err)
						return
					}
					m, err := bhttp.ParseRequest(msg)
					if err != nil {
						t.Error(err)
						return
					}
					from, to := io.Pipe()
					go func() {
						to.Write(bhttp.AppendResponseHead(nil, 200, nil))
						to.Write(bhttp.AppendChunk(nil, fmt.Appendf(nil, "%s %s %d ", m.Method, m.Path, len(m.Body))))
						for range 3 {
							if len(opts) > 0 {
								<-next
							}
							to.Write(bhttp.AppendChunk(nil, []byte("piece")))
						}
						to.Write(bhttp.AppendEnd(nil))
						to.Close()
					}()
					sealer, err := opener.NewResponseSealer(from, []byte(res), opts...)
					if err != nil {
						t.Error(err)
						return
					}
					w.Header().Set("Content-Type", resType)
					buf := make([]byte, 4096)
					for {
						n, err := sealer.Read(buf)
						w.Write(buf[:n])
						http.NewResponseController(w).Flush()
						if err != nil {
							return
						}
					}
				})
				s := httptest.NewServer(mux)
				defer s.Close()
				at := relayTo(t, s.URL+"/gw")

				// In one piece.
				all, err := ours.ParseConfigs(keys)
				if err != nil {
					t.Fatal(err)
				}
				sealed, x, err := all[0].Seal(message(t, "POST", "/x", []byte("body")), false)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.Post(at, ours.RequestType, bytes.NewReader(sealed))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("%d %s, %v", resp.StatusCode, b, err)
				}
				if b, err = x.Open(b); err != nil {
					t.Fatal(err)
				}
				in, err := bhttp.ReadResponse(bytes.NewReader(b))
				if err != nil {
					t.Fatalf("%x: %v", b, err)
				}
				if b, err = io.ReadAll(in.Body); err != nil || string(b) != "POST /x 4 piecepiecepiece" {
					t.Errorf("%q, %v", b, err)
				}

				// In chunks, as the client does it: a request of many, an answer piece by piece.
				o := client.NewOblivious(nethttp.New(at), nil)
				out, err := o.RoundTrip(t.Context(), &client.Request{Method: "POST", Path: "/slow", ContentType: "a/b", Body: make([]byte, 100_000)})
				if err != nil {
					t.Fatal(err)
				}
				defer out.Body.Close()
				for i, want := range []string{"POST /slow 100000 ", "piece", "piece", "piece"} {
					if i > 0 {
						next <- struct{}{}
					}
					got := make([]byte, len(want))
					if _, err := io.ReadFull(out.Body, got); err != nil || string(got) != want {
						t.Fatalf("%q, %v", got, err)
					}
				}
				if b, err := io.ReadAll(out.Body); err != nil || len(b) != 0 {
					t.Errorf("at the end %q, %v", b, err)
				}
			})
		}
	}
}
