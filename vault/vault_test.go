// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestWrapsOpenOnlyWithTheirSecret(t *testing.T) {
	root, account := NewRootKey(), NewAccountID()
	prf, recovery := bytes.Repeat([]byte{7}, 32), NewRecoveryKey()
	device, err := NewDeviceKey()
	if err != nil {
		t.Fatal(err)
	}
	offer, err := OpenOffer(device.Offer("laptop · terminal"), device.LinkSecret())
	if err != nil {
		t.Fatal(err)
	}
	if offer.Name != "laptop · terminal" {
		t.Errorf("offer name = %q", offer.Name)
	}
	quick := PassphraseParams{Memory: argonMinMemory, Time: 1, Threads: 1, Salt: make([]byte, argonSaltSize)}
	for _, tt := range []struct {
		kind   string
		wrap   func() (Wrap, error)
		unwrap func(Wrap, AccountID) (RootKey, error)
		wrong  func(Wrap, AccountID) (RootKey, error)
	}{
		{
			KindPasskey,
			func() (Wrap, error) { return WrapPasskey(root, account, []byte("credential"), prf) },
			func(w Wrap, a AccountID) (RootKey, error) { return UnwrapPasskey(w, a, prf) },
			func(w Wrap, a AccountID) (RootKey, error) { return UnwrapPasskey(w, a, make([]byte, 32)) },
		},
		{
			KindRecovery,
			func() (Wrap, error) { return WrapRecovery(root, account, recovery) },
			func(w Wrap, a AccountID) (RootKey, error) { return UnwrapRecovery(w, a, recovery) },
			func(w Wrap, a AccountID) (RootKey, error) { return UnwrapRecovery(w, a, NewRecoveryKey()) },
		},
		{
			KindPassphrase,
			func() (Wrap, error) { return wrapPassphrase(root, account, "correct horse", quick) },
			func(w Wrap, a AccountID) (RootKey, error) { return UnwrapPassphrase(w, a, "correct horse") },
			func(w Wrap, a AccountID) (RootKey, error) { return UnwrapPassphrase(w, a, "correct house") },
		},
		{
			KindDevice,
			func() (Wrap, error) { return WrapDevice(root, account, offer) },
			func(w Wrap, a AccountID) (RootKey, error) { return UnwrapDevice(w, a, device) },
			func(w Wrap, a AccountID) (RootKey, error) {
				other, err := NewDeviceKey()
				if err != nil {
					return RootKey{}, err
				}
				return UnwrapDevice(w, a, other)
			},
		},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			w, err := tt.wrap()
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(w)
			if err != nil {
				t.Fatal(err)
			}
			if w, err = ParseWrap(encoded); err != nil {
				t.Fatal(err)
			}
			got, err := tt.unwrap(w, account)
			if err != nil {
				t.Fatal(err)
			}
			if *got.key != *root.key {
				t.Error("unwrapped another key")
			}
			if _, err := tt.wrong(w, account); !errors.Is(err, ErrWrongKey) {
				t.Errorf("wrong secret: %v, want ErrWrongKey", err)
			}
			if _, err := tt.unwrap(w, NewAccountID()); !errors.Is(err, ErrTampered) {
				t.Errorf("foreign account: %v, want ErrTampered", err)
			}
			changed := w
			changed.Data = bytes.Clone(w.Data)
			changed.Data[len(changed.Data)-1] ^= 1
			if _, err := tt.unwrap(changed, account); !errors.Is(err, ErrTampered) {
				t.Errorf("changed data: %v, want ErrTampered", err)
			}
			moved := w
			moved.ID = NewRecordID()
			if _, err := tt.unwrap(moved, account); !errors.Is(err, ErrTampered) {
				t.Errorf("other wrap id: %v, want ErrTampered", err)
			}
		})
	}
}

// The server could answer a link with a key of its own; it must not pass.
func TestLinkedTerminalRefusesTheServersKey(t *testing.T) {
	account := NewAccountID()
	device, err := NewDeviceKey()
	if err != nil {
		t.Fatal(err)
	}
	honest, err := OpenOffer(device.Offer("terminal"), device.LinkSecret())
	if err != nil {
		t.Fatal(err)
	}
	evil := *honest
	evil.secret = newSecret() // the server has the public key but not the link
	w, err := WrapDevice(NewRootKey(), account, &evil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := UnwrapDevice(w, account, device); !errors.Is(err, ErrTampered) {
		t.Errorf("a key that the server made up: %v, want ErrTampered", err)
	}
	other, err := NewDeviceKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOffer(other.Offer("terminal"), device.LinkSecret()); !errors.Is(err, ErrTampered) {
		t.Errorf("an offer that the server made up: %v, want ErrTampered", err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	root, recovery := NewRootKey(), NewRecoveryKey()
	device, err := NewDeviceKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{root, &root, recovery, &recovery, device, &device, struct{ K RootKey }{root}, struct{ k RootKey }{root}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			s := fmt.Sprintf(verb, v)
			for _, leak := range []string{fmt.Sprintf("%x", root.key[:4]), fmt.Sprint(root.key[:4])[1:], strings.ToLower(recovery.Groups()[0])} {
				if strings.Contains(strings.ToLower(s), leak) {
					t.Errorf("%s of %T shows the secret", verb, v)
				}
			}
		}
		if _, err := json.Marshal(v); err == nil {
			if b, _ := json.Marshal(v); len(b) > 2 {
				t.Errorf("%T marshals as %s", v, b)
			}
		}
	}
}

func TestLocalAndLabels(t *testing.T) {
	root, account := NewRootKey(), NewAccountID()
	sealed, err := SealLocal(root, account, "pending answers", []byte("half an answer"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenLocal(root, account, "pending answers", sealed)
	if err != nil || string(got) != "half an answer" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := OpenLocal(root, account, "settings", sealed); !errors.Is(err, ErrTampered) {
		t.Errorf("another purpose: %v", err)
	}
	if _, err := OpenLocal(root, NewAccountID(), "pending answers", sealed); !errors.Is(err, ErrTampered) {
		t.Errorf("another account: %v", err)
	}
	short, long := SealLabel(root, account, "x"), SealLabel(root, account, strings.Repeat("é", 100))
	if len(short) != len(long) {
		t.Error("labels differ in size")
	}
	if s, err := OpenLabel(root, account, long); err != nil || s != strings.Repeat("é", 30) {
		t.Errorf("label %q, %v", s, err)
	}
}
