// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// The vectors are for every implementation; spec/vectors/seal/README.md says
// how to run them. Here they are run through the exported functions alone.
// After a change of the format, make them anew with
//
//	go test ./seal -run TestVectors -update

var update = flag.Bool("update", false, "make the vectors anew")

const vectorDir = "../spec/vectors/seal"

// expectations are the failure names of spec/seal.md.
var expectations = map[string]error{
	"ok":             nil,
	"truncated":      ErrTruncated,
	"version":        ErrVersion,
	"format":         ErrFormat,
	"padding":        ErrPadding,
	"too_large":      ErrTooLarge,
	"unknown_key":    ErrUnknownKey,
	"expired":        ErrExpired,
	"authentication": ErrAuthentication,
}

// hexBytes is bytes written in hexadecimal.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

type requestFile struct {
	About   string          `json:"about"`
	Keys    []vectorKey     `json:"keys"`
	Vectors []requestVector `json:"vectors"`
}

type vectorKey struct {
	ID        hexBytes `json:"id"`
	Seed      hexBytes `json:"seed"`
	PublicKey hexBytes `json:"public_key"`
	Known     bool     `json:"known"` // whether the node has it
}

type requestVector struct {
	Name      string    `json:"name"`
	Comment   string    `json:"comment,omitempty"`
	Expect    string    `json:"expect"`
	Message   []byte    `json:"message"` // base64
	Plaintext *[]byte   `json:"plaintext,omitempty"`
	ID        hexBytes  `json:"id,omitempty"`
	Recipient *int      `json:"recipient,omitempty"`
	Schedule  *schedule `json:"schedule,omitempty"`
}

// schedule is what the key schedule gives on the way, for whoever looks for
// the step at which an implementation goes wrong.
type schedule struct {
	ContentKey   hexBytes `json:"content_key"`
	BodyKey      hexBytes `json:"body_key"`
	AnswerSecret hexBytes `json:"answer_secret"`
}

type answerFile struct {
	About     string           `json:"about"`
	Exchanges []vectorExchange `json:"exchanges"`
	Vectors   []answerVector   `json:"vectors"`
}

type vectorExchange struct {
	Name   string   `json:"name"`
	Stored hexBytes `json:"stored"`
}

type answerVector struct {
	Name      string        `json:"name"`
	Comment   string        `json:"comment,omitempty"`
	Expect    string        `json:"expect"`
	Exchange  string        `json:"exchange"`
	Answer    []byte        `json:"answer"` // base64
	Resume    *vectorResume `json:"resume,omitempty"`
	Resumed   *bool         `json:"resumed,omitempty"`
	Recipient *int          `json:"recipient,omitempty"`
	Key       hexBytes      `json:"answer_key,omitempty"`
	Content   []byte        `json:"content"` // base64: all that is read before the end or the failure
}

type vectorResume struct {
	Header hexBytes `json:"header"`
	Next   uint64   `json:"next"`
}

type exchangeFile struct {
	About   string           `json:"about"`
	Vectors []exchangeVector `json:"vectors"`
}

type exchangeVector struct {
	Name    string     `json:"name"`
	Expect  string     `json:"expect"`
	Stored  hexBytes   `json:"stored"`
	ID      hexBytes   `json:"id,omitempty"`
	Secrets []hexBytes `json:"answer_secrets,omitempty"`
}

type paddingFile struct {
	About   string   `json:"about"`
	Request [][2]int `json:"request"` // bytes with the length field, padded bytes
	Answer  [][2]int `json:"answer"`  // records of content, records in all
}

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func writeVectors(t *testing.T, name string, from any) {
	t.Helper()
	b, err := json.MarshalIndent(from, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorDir, name), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkExpected fails t unless err is what the vector says. A failure must
// have one name only.
func checkExpected(t *testing.T, expect string, err error) {
	t.Helper()
	want, ok := expectations[expect]
	if !ok {
		t.Fatalf("unknown expectation %q", expect)
	}
	if want == nil && err != nil {
		t.Fatalf("got %v, want no error", err)
	}
	for name, e := range expectations {
		if e != nil && errors.Is(err, e) != (name == expect) {
			t.Fatalf("got %v, want %s", err, expect)
		}
	}
}

func TestVectorsRequest(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	var f requestFile
	readVectors(t, "request.json", &f)
	keys := make(keyring)
	for _, k := range f.Keys {
		key, err := NewPrivateKey(k.Seed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(key.PublicKey(), k.PublicKey) {
			t.Errorf("key %x: wrong public key", k.ID)
		}
		if k.Known {
			keys[KeyID(k.ID)] = key
		}
	}
	seen := make(map[string]bool)
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			seen[v.Expect] = true
			o, err := OpenRequest(bytes.NewReader(v.Message), keys.lookup)
			checkExpected(t, v.Expect, err)
			if err != nil {
				return
			}
			if !bytes.Equal(o.Plaintext(), *v.Plaintext) {
				t.Error("wrong plaintext")
			}
			if !bytes.Equal(o.ID[:], v.ID) {
				t.Errorf("ID = %x, want %x", o.ID, v.ID)
			}
			if o.Recipient != *v.Recipient {
				t.Errorf("Recipient = %d, want %d", o.Recipient, *v.Recipient)
			}
			if v.Schedule != nil && !bytes.Equal(secretOf(o)[:], v.Schedule.AnswerSecret) {
				t.Errorf("answer secret = %x, want %x", secretOf(o), v.Schedule.AnswerSecret)
			}
			h, err := envelope.Parse(v.Message)
			if err != nil {
				t.Fatal(err)
			}
			if h.Recipients[o.Recipient] != o.KeyID || h.MessageLen() != int64(len(v.Message)) {
				t.Errorf("envelope: key %x and %d bytes, want %s and %d", h.Recipients[o.Recipient], h.MessageLen(), o.KeyID, len(v.Message))
			}
		})
	}
	for _, name := range []string{"ok", "truncated", "version", "format", "padding", "too_large", "unknown_key", "authentication"} {
		if !seen[name] {
			t.Errorf("no vector expects %s", name)
		}
	}
}

func TestVectorsAnswer(t *testing.T) {
	var f answerFile
	readVectors(t, "answer.json", &f)
	exchanges := make(map[string]*Exchange)
	for _, e := range f.Exchanges {
		ex, err := UnmarshalExchange(e.Stored)
		if err != nil {
			t.Fatal(err)
		}
		exchanges[e.Name] = ex
	}
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			// However the bytes come, the result is the same.
			for _, r := range []io.Reader{
				bytes.NewReader(v.Answer),
				iotest.HalfReader(bytes.NewReader(v.Answer)),
				iotest.DataErrReader(bytes.NewReader(v.Answer)),
			} {
				runAnswer(t, v, exchanges[v.Exchange], r)
			}
		})
	}
}

func runAnswer(t *testing.T, v answerVector, ex *Exchange, r io.Reader) {
	t.Helper()
	var a *AnswerReader
	var err error
	if v.Resume != nil {
		a, err = ex.ResumeAnswer(r, v.Resume.Header, v.Resume.Next)
	} else {
		a, err = ex.OpenAnswer(r)
	}
	var content []byte
	if err == nil {
		if v.Recipient != nil && a.Recipient() != *v.Recipient {
			t.Errorf("Recipient = %d, want %d", a.Recipient(), *v.Recipient)
		}
		if v.Resumed != nil && a.Resumed() != *v.Resumed {
			t.Errorf("Resumed = %v, want %v", a.Resumed(), *v.Resumed)
		}
		if content, err = io.ReadAll(a); err == nil {
			err = a.Drain()
		}
	}
	checkExpected(t, v.Expect, err)
	if !bytes.Equal(content, v.Content) {
		t.Errorf("content %q, want %q", content, v.Content)
	}
}

func TestVectorsExchange(t *testing.T) {
	var f exchangeFile
	readVectors(t, "exchange.json", &f)
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			ex, err := UnmarshalExchange(v.Stored)
			checkExpected(t, v.Expect, err)
			if err != nil {
				return
			}
			if id := ex.ID(); !bytes.Equal(id[:], v.ID) {
				t.Errorf("ID = %x, want %x", id, v.ID)
			}
			for i, s := range v.Secrets {
				if !bytes.Equal(ex.secrets[i][:], s) {
					t.Errorf("secret %d = %x, want %x", i, ex.secrets[i], s)
				}
			}
			stored, err := ex.MarshalBinary()
			if err != nil || !bytes.Equal(stored, v.Stored) {
				t.Errorf("stored again as %x, %v; want %x", stored, err, v.Stored)
			}
		})
	}
}

func TestVectorsPadding(t *testing.T) {
	var f paddingFile
	readVectors(t, "padding.json", &f)
	for _, p := range f.Request {
		if got := envelope.PaddedSize(p[0]); got != p[1] {
			t.Errorf("PaddedSize(%d) = %d, want %d", p[0], got, p[1])
		}
	}
	for _, p := range f.Answer {
		if got := TailRecords(p[0]); got != p[1] {
			t.Errorf("TailRecords(%d) = %d, want %d", p[0], got, p[1])
		}
	}
}
