// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/vault"
)

// device is what a linked terminal keeps, in the file device.json, readable by
// this user alone. The root key is in it only as a wrap that Key opens.
type device struct {
	V       int             `json:"v"` // 1
	Server  string          `json:"server"`
	Account vault.AccountID `json:"account"`
	Device  vault.DeviceID  `json:"device"`
	Token   string          `json:"token"` // of this terminal's session
	Key     []byte          `json:"key"`   // vault.DeviceKey
	Wrap    vault.Wrap      `json:"wrap"`  // the root key, sealed to Key

	dir string
}

// String hides the device, which opens a history.
func (*device) String() string { return "[device secret]" }

// GoString hides the device from %#v.
func (d *device) GoString() string { return d.String() }

// LogValue hides the device from slog.
func (d *device) LogValue() slog.Value { return slog.StringValue(d.String()) }

// errNotLinked means that this terminal has no account at the server.
var errNotLinked = errors.New("this terminal is not linked to an account")

// deviceDir is the folder for one server: its host to be read by people, and a
// hash to tell any two addresses apart.
func deviceDir(server string) (string, error) {
	u, err := nethttp.ParseBase(server)
	if err != nil {
		return "", usageError("the server’s address "+err.Error(), "")
	}
	dir, err := configDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(u.String()))
	host := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, strings.ToLower(u.Host))
	return filepath.Join(dir, "servers", host+"-"+hex.EncodeToString(sum[:4])), nil
}

// loadDevice reads the device of a server; errNotLinked if there is none.
func loadDevice(server string) (*device, error) {
	dir, err := deviceDir(server)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "device.json")
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNotLinked
	case err != nil:
		return nil, withHint(err, "")
	}
	d := &device{dir: dir}
	if json.Unmarshal(b, d) != nil || d.V != 1 {
		return nil, withHint(fmt.Errorf("%s can’t be read", name), "Link this terminal again: sotto login.")
	}
	return d, nil
}

func (d *device) save() error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return writePrivate(filepath.Join(d.dir, "device.json"), b)
}

// root opens the root key.
func (d *device) root() (vault.RootKey, error) {
	key, err := vault.ParseDeviceKey(d.Key)
	if err != nil {
		return vault.RootKey{}, err
	}
	return vault.UnwrapDevice(d.Wrap, d.Account, key)
}

// forget removes everything that this terminal keeps of the account.
func (d *device) forget() error { return os.RemoveAll(d.dir) }

func (d *device) feedFile() string    { return filepath.Join(d.dir, "feed.jsonl") }
func (d *device) pendingFile() string { return filepath.Join(d.dir, "pending.json") }

// readFeed returns the entries of the feed that are kept here, ciphertext all
// of them. Several programs may have appended at once, or been cut off: lines
// that repeat or don't fit are left out, and are fetched again if need be.
func (d *device) readFeed() ([]vault.Entry, error) {
	f, err := os.Open(d.feedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var entries []vault.Entry
	s := bufio.NewScanner(f)
	s.Buffer(nil, 4<<20)
	for s.Scan() {
		var e vault.Entry
		if json.Unmarshal(s.Bytes(), &e) == nil && e.Seq == uint64(len(entries))+1 {
			entries = append(entries, e)
		}
	}
	return entries, s.Err()
}

// appendFeed keeps entries that came.
func (d *device) appendFeed(entries []vault.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	b, err := feedLines(entries)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d.feedFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b) // one write, so that lines of two programs don't mix
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// replaceFeed keeps entries in the place of all that came before.
func (d *device) replaceFeed(entries []vault.Entry) error {
	b, err := feedLines(entries)
	if err != nil {
		return err
	}
	return writePrivate(d.feedFile(), b)
}

// feedLines writes each entry on a line of its own.
func feedLines(entries []vault.Entry) ([]byte, error) {
	var b []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		b = append(append(b, line...), '\n')
	}
	return b, nil
}

// readPending returns the records that the server has not acknowledged.
func (d *device) readPending() ([]vault.Put, error) {
	b, err := os.ReadFile(d.pendingFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var puts []vault.Put
	if err := json.Unmarshal(b, &puts); err != nil {
		return nil, fmt.Errorf("%s can’t be read: %w", d.pendingFile(), err)
	}
	return puts, nil
}

func (d *device) writePending(puts []vault.Put) error {
	if len(puts) == 0 {
		err := os.Remove(d.pendingFile())
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	b, err := json.Marshal(puts)
	if err != nil {
		return err
	}
	return writePrivate(d.pendingFile(), b)
}
