// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package collateral reads the folder in which an operator keeps what the
// makers of hardware publish about it: certificates, revocation lists, levels of
// firmware (docs/hardware.md). Nothing in it is believed: it travels with the
// evidence, and the client checks who signed it.
//
// Each platform has a folder of its own in it, named as the platform is.
package collateral

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Limits of one platform's folder.
const (
	MaxFiles = 64
	MaxSize  = 1 << 20 // bytes of all files together
)

// File is one file of the folder.
type File struct {
	Name string // without the folder
	Data []byte
}

// Read reads the files of dir/platform in the order of their names, leaving out what
// is no file and names that begin with a dot, as of a file that is still being written.
// A platform without a folder has no files; that dir isn't there is an error, and so is
// a link out of it: the machine's host may share the folder with it, and whatever is
// read goes into what all can fetch.
func Read(dir, platform string) ([]File, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(filepath.Join(dir, platform))
	if _, missing := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	var files []File
	left := int64(MaxSize)
	for _, e := range entries {
		if e.Type()&^fs.ModeSymlink != 0 || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if len(files) == MaxFiles {
			return nil, fmt.Errorf("%s holds more than %d files for %q", dir, MaxFiles, platform)
		}
		f, err := os.OpenInRoot(dir, filepath.Join(platform, e.Name()))
		b, err := read(f, err, left)
		if err != nil {
			return nil, err
		}
		left -= int64(len(b))
		files = append(files, File{e.Name(), b})
	}
	return files, err
}

// ReadFile reads a whole file of at most limit bytes, whatever it is for: what a
// machine reads is bounded before it is read.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	return read(f, err, limit)
}

func read(f *os.File, err error, limit int64) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", f.Name(), limit)
	}
	return b, err
}
