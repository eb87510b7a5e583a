// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package collateral

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := Read("", "snp"); files != nil || err != nil {
		t.Errorf("without a folder: %v, %v", files, err)
	}
	if files, err := Read(dir, "snp"); files != nil || err != nil {
		t.Errorf("without the platform's folder: %v, %v", files, err)
	}
	if _, err := Read(filepath.Join(dir, "mistyped"), "snp"); err == nil {
		t.Error("a folder that isn't there")
	}
	write("snp/b.crl", 3)
	write("snp/a.pem", 2)
	write("snp/.new", 9)
	write("snp/old/c.pem", 9)
	write("tdx/d.json", 9)
	files, err := Read(dir, "snp")
	if err != nil || len(files) != 2 || files[0].Name != "a.pem" || len(files[0].Data) != 2 || files[1].Name != "b.crl" {
		t.Errorf("%v, %v", files, err)
	}

	// Links may lead to other places in the folder, as those of a mounted secret do.
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("../tdx/d.json", "snp/c.json")
	if files, err := Read(dir, "snp"); err != nil || len(files) != 3 || len(files[2].Data) != 9 {
		t.Errorf("a link inside: %v, %v", files, err)
	}
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("linked/a", 1)
	link(outside, "linked/b")
	if files, err := Read(dir, "linked"); err == nil || files != nil {
		t.Errorf("a link to a file outside: %v", files)
	}
	link(filepath.Dir(outside), "elsewhere")
	if files, err := Read(dir, "elsewhere"); err == nil || files != nil {
		t.Errorf("a folder outside: %v", files)
	}
	write("piped/a", 1)
	if err := syscall.Mkfifo(filepath.Join(dir, "piped/b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if files, err := Read(dir, "piped"); err != nil || len(files) != 1 {
		t.Errorf("a pipe: %v, %v", files, err)
	}

	write("full/a", MaxSize-1)
	write("full/b", 1)
	if files, err := Read(dir, "full"); err != nil || len(files) != 2 {
		t.Errorf("at the limit: %d files, %v", len(files), err)
	}
	write("full/b", 2)
	if files, err := Read(dir, "full"); err == nil || files != nil {
		t.Error("above the limit in size")
	}
	for i := range MaxFiles {
		write("many/"+strconv.Itoa(i), 1)
	}
	if files, err := Read(dir, "many"); err != nil || len(files) != MaxFiles {
		t.Errorf("at the limit: %d files, %v", len(files), err)
	}
	write("many/more", 1)
	if _, err := Read(dir, "many"); err == nil {
		t.Error("above the limit in number")
	}
	if _, err := Read(filepath.Join(dir, "snp"), "a.pem"); err == nil {
		t.Error("a file for a folder")
	}
}
