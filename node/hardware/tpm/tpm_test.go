// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

// The whole way, with a TPM, is in test/swtpm.

// dull is a TPM that answers everything alike.
type dull struct {
	answer []byte
	closed bool
}

func (d *dull) Write(b []byte) (int, error) { return len(b), nil }
func (d *dull) Read(b []byte) (int, error) {
	if d.answer == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(b, d.answer), nil
}
func (d *dull) Close() error { d.closed = true; return nil }

func TestOpenSaysWhy(t *testing.T) {
	if _, err := Open(Config{Device: filepath.Join(t.TempDir(), "tpmrm0")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no TPM: %v", err)
	}
	silent := &dull{}
	if _, err := Open(Config{Conn: silent}); !errors.Is(err, io.ErrUnexpectedEOF) || !silent.closed {
		t.Errorf("a silent TPM: %v, closed: %v", err, silent.closed)
	}
	// TPM_RC_FAILURE (TPM 2.0 Library, part 2, table 16).
	broken := &dull{answer: []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01}}
	if _, err := Open(Config{Conn: broken}); err == nil || !strings.Contains(err.Error(), "TPM_RC_FAILURE") || !broken.closed {
		t.Errorf("a broken TPM: %v, closed: %v", err, broken.closed)
	}
}

func TestReadLog(t *testing.T) {
	dir := t.TempDir()
	good := tpmtest.New().Log()
	for name, c := range map[string]struct {
		content, want []byte
		err           string
	}{
		"good":  {good, good, ""},
		"old":   {bytes.Replace(good, []byte("Spec ID Event03"), []byte("Spec ID Event02"), 1), nil, ""},
		"empty": {[]byte{}, nil, ""},
		"long":  {append(bytes.Clone(good), make([]byte, tpmdata.MaxLog)...), nil, "longer than 524288 bytes"},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readLog(file)
		if !bytes.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if got, err := readLog(filepath.Join(dir, "none")); got != nil || err != nil {
		t.Errorf("no log: %d bytes, %v", len(got), err)
	}
	if _, err := readLog(dir); err == nil {
		t.Error("a folder is read")
	}
}
