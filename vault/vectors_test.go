// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The vectors are for every implementation; spec/vectors/vault/README.md says
// how to run them. After a change of the format, make them anew with
//
//	go test ./vault -run TestVectors -update

var update = flag.Bool("update", false, "make the vectors anew")

const vectorDir = "../spec/vectors/vault"

// failures are the failure names of spec/vault.md.
var failures = map[string]error{
	"ok":           nil,
	"format":       ErrFormat,
	"too_large":    ErrTooLarge,
	"wrong_key":    ErrWrongKey,
	"tampered":     ErrTampered,
	"swapped":      ErrSwapped,
	"foreign":      ErrForeign,
	"replayed":     ErrReplayed,
	"rollback":     ErrRollback,
	"fork":         ErrFork,
	"hidden":       ErrHidden,
	"out_of_order": ErrOutOfOrder,
}

// failureName returns the name of an error.
func failureName(err error) string {
	if err == nil {
		return "ok"
	}
	for name, e := range failures {
		if e != nil && errors.Is(err, e) {
			return name
		}
	}
	return err.Error()
}

// hexBytes is bytes written in hexadecimal.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

type file[V any] struct {
	About   string `json:"about"`
	Vectors []V    `json:"vectors"`
}

type keyVector struct {
	Root     hexBytes  `json:"root"`
	Account  AccountID `json:"account"`
	Purpose  string    `json:"purpose,omitempty"`
	Key      hexBytes  `json:"key,omitempty"`
	Chat     string    `json:"chat,omitempty"`
	Name     string    `json:"name,omitempty"`
	Register hexBytes  `json:"register_id,omitempty"`
}

type recoveryVector struct {
	Name      string   `json:"name"`
	Text      string   `json:"text"`
	Expect    string   `json:"expect"` // "ok", "length" or "group 1" to "group 8"
	Bits      hexBytes `json:"bits,omitempty"`
	ID        hexBytes `json:"id,omitempty"`
	SignInKey hexBytes `json:"sign_in_key,omitempty"`
	WrapKey   hexBytes `json:"wrap_key,omitempty"`
	Origin    string   `json:"origin,omitempty"`
	Challenge hexBytes `json:"challenge,omitempty"`
	Signature hexBytes `json:"signature,omitempty"`
}

type wrapVector struct {
	Name       string    `json:"name"`
	Comment    string    `json:"comment,omitempty"`
	Expect     string    `json:"expect"`
	Account    AccountID `json:"account"`
	Wrap       string    `json:"wrap"`
	PRF        hexBytes  `json:"prf,omitempty"`
	Passphrase string    `json:"passphrase,omitempty"`
	Recovery   string    `json:"recovery,omitempty"`
	Device     hexBytes  `json:"device,omitempty"`
	Root       hexBytes  `json:"root,omitempty"`
}

type offerVector struct {
	Name       string   `json:"name"`
	Expect     string   `json:"expect"`
	Offer      []byte   `json:"offer"`
	LinkSecret string   `json:"link_secret"`
	Terminal   string   `json:"terminal,omitempty"`
	Code       string   `json:"code,omitempty"`
	Ref        hexBytes `json:"ref,omitempty"`
}

type recordVector struct {
	Name       string     `json:"name"`
	Comment    string     `json:"comment,omitempty"`
	Expect     string     `json:"expect"`
	Root       hexBytes   `json:"root"`
	Account    AccountID  `json:"account"`
	Collection Collection `json:"collection"`
	ID         RecordID   `json:"id"`
	Version    Version    `json:"version"`
	Data       []byte     `json:"data"`
	Known      *Head      `json:"known,omitempty"`
	Body       string     `json:"body,omitempty"`
}

type feedVector struct {
	Name     string            `json:"name"`
	Comment  string            `json:"comment,omitempty"`
	Root     hexBytes          `json:"root"`
	Account  AccountID         `json:"account"`
	Pages    []json.RawMessage `json:"pages"`
	Expect   []string          `json:"expect"` // for each page
	Problems map[string]string `json:"problems"`
	Head     Head              `json:"head"`
	Messages []string          `json:"messages"` // texts, in order of creation
	Titles   []string          `json:"titles"`
}

type paddingVector struct {
	Length int `json:"length"`
	Size   int `json:"size"`
}

func readVectors[V any](t *testing.T, name string) []V {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	var f file[V]
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(f.Vectors) == 0 {
		t.Fatalf("%s: no vectors", name)
	}
	return f.Vectors
}

func rootOf(b []byte) RootKey { return RootKey{secret{(*[keySize]byte)(bytes.Clone(b))}} }

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	t.Run("padding", func(t *testing.T) {
		for _, v := range readVectors[paddingVector](t, "padding.json") {
			if got := paddedSize(v.Length); got != v.Size {
				t.Errorf("paddedSize(%d) = %d, want %d", v.Length, got, v.Size)
			}
		}
	})
	t.Run("keys", func(t *testing.T) {
		for _, v := range readVectors[keyVector](t, "keys.json") {
			if v.Purpose != "" {
				if got := rootOf(v.Root).derive(v.Account, v.Purpose); !bytes.Equal(got, v.Key) {
					t.Errorf("%s: %x, want %x", v.Purpose, got, v.Key)
				}
				continue
			}
			r := NewReplica(rootOf(v.Root), v.Account, DeviceID{})
			if got := r.registerID(v.Chat, v.Name); !bytes.Equal(got[:], v.Register) {
				t.Errorf("register %q %q: %v, want %x", v.Chat, v.Name, got, v.Register)
			}
		}
	})
	t.Run("recovery", func(t *testing.T) {
		for _, v := range readVectors[recoveryVector](t, "recovery.json") {
			k, err := ParseRecoveryKey(v.Text)
			got := "ok"
			var bad *RecoveryKeyError
			if errors.As(err, &bad) {
				got = "group " + strconv.Itoa(bad.Group)
				if bad.Group == 0 {
					got = "length"
				}
			} else if err != nil {
				got = err.Error()
			}
			if got != v.Expect {
				t.Errorf("%s: %s, want %s", v.Name, got, v.Expect)
			}
			if err != nil || v.Expect != "ok" {
				continue
			}
			id := k.ID()
			if !bytes.Equal(k.bits[:], v.Bits) || !bytes.Equal(id[:], v.ID) || !bytes.Equal(k.signInKey(), v.SignInKey) || !bytes.Equal(k.wrapKey(), v.WrapKey) {
				t.Errorf("%s: another key", v.Name)
			}
			if !bytes.Equal(k.SignIn(v.Origin, v.Challenge), v.Signature) || !VerifySignIn(v.SignInKey, id, v.Origin, v.Challenge, v.Signature) {
				t.Errorf("%s: another signature", v.Name)
			}
		}
	})
	t.Run("wraps", func(t *testing.T) {
		for _, v := range readVectors[wrapVector](t, "wraps.json") {
			root, err := openWrapVector(v)
			if got := failureName(err); got != v.Expect {
				t.Errorf("%s: %s, want %s", v.Name, got, v.Expect)
			} else if err == nil && !bytes.Equal(root.key[:], v.Root) {
				t.Errorf("%s: another root key", v.Name)
			}
		}
	})
	t.Run("offers", func(t *testing.T) {
		for _, v := range readVectors[offerVector](t, "offers.json") {
			o, err := OpenOffer(v.Offer, v.LinkSecret)
			if got := failureName(err); got != v.Expect {
				t.Errorf("%s: %s, want %s", v.Name, got, v.Expect)
			} else if err == nil && (o.Name != v.Terminal || o.Code() != v.Code || deviceRef(o.encoded) != hex.EncodeToString(v.Ref)) {
				t.Errorf("%s: %q %s %s", v.Name, o.Name, o.Code(), deviceRef(o.encoded))
			}
		}
	})
	t.Run("records", func(t *testing.T) {
		for _, v := range readVectors[recordVector](t, "records.json") {
			key := rootOf(v.Root).derive(v.Account, "records")
			known, body, err := openRecord(key, v.Account, place{v.Collection, v.ID, v.Version}, v.Data)
			if got := failureName(err); got != v.Expect {
				t.Errorf("%s: %s, want %s", v.Name, got, v.Expect)
			} else if err == nil && (known != *v.Known || string(body) != v.Body) {
				t.Errorf("%s: head %v, body %q", v.Name, known, body)
			}
		}
	})
	t.Run("feed", func(t *testing.T) {
		for _, v := range readVectors[feedVector](t, "feed.json") {
			runFeedVector(t, v)
		}
	})
}

func openWrapVector(v wrapVector) (RootKey, error) {
	w, err := ParseWrap([]byte(v.Wrap))
	if err != nil {
		return RootKey{}, err
	}
	switch {
	case v.PRF != nil:
		return UnwrapPasskey(w, v.Account, v.PRF)
	case v.Passphrase != "":
		return UnwrapPassphrase(w, v.Account, v.Passphrase)
	case v.Recovery != "":
		k, err := ParseRecoveryKey(v.Recovery)
		if err != nil {
			return RootKey{}, err
		}
		return UnwrapRecovery(w, v.Account, k)
	default:
		k, err := ParseDeviceKey(v.Device)
		if err != nil {
			return RootKey{}, err
		}
		return UnwrapDevice(w, v.Account, k)
	}
}

func runFeedVector(t *testing.T, v feedVector) {
	t.Helper()
	r := NewReplica(rootOf(v.Root), v.Account, DeviceID{})
	for i, b := range v.Pages {
		p, err := ParsePage(b)
		if err == nil {
			err = r.Apply(p)
		}
		if got := failureName(err); got != v.Expect[i] {
			t.Errorf("%s: page %d: %s, want %s", v.Name, i+1, got, v.Expect[i])
		}
	}
	if r.Head() != v.Head {
		t.Errorf("%s: head %v, want %v", v.Name, r.Head(), v.Head)
	}
	problems := map[string]string{}
	for _, p := range r.Problems() {
		problems[strconv.FormatUint(p.Seq, 10)] = failureName(p.Err)
	}
	if a, b := must(json.Marshal(problems)), must(json.Marshal(v.Problems)); !bytes.Equal(a, b) {
		t.Errorf("%s: problems %s, want %s", v.Name, a, b)
	}
	messages, titles := shown(r)
	if !slices.Equal(messages, v.Messages) || !slices.Equal(titles, v.Titles) {
		t.Errorf("%s: messages %q, titles %q", v.Name, messages, titles)
	}
}

// shown returns the texts of all messages in order of creation, and all titles
// in order of the alphabet.
func shown(r *Replica) (messages, titles []string) {
	messages, titles = []string{}, []string{}
	var all []Message
	for _, c := range r.Chats() {
		all = append(all, r.Messages(c.ID)...)
		if c.Title != "" {
			titles = append(titles, c.Title)
		}
	}
	slices.SortFunc(all, func(a, b Message) int { return int(a.Created - b.Created) })
	for _, m := range all {
		messages = append(messages, m.Text)
	}
	slices.SortFunc(titles, strings.Compare)
	return messages, titles
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
