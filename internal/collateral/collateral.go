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

// Read reads the files of dir/platform in the order of their names, leaving out
// folders and names that begin with a dot, as of a file that is still being
// written. A folder that isn't there has no files.
func Read(dir, platform string) ([]File, error) {
	if dir == "" {
		return nil, nil
	}
	dir = filepath.Join(dir, platform)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []File
	left := int64(MaxSize)
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if len(files) == MaxFiles {
			return nil, fmt.Errorf("%s holds more than %d files", dir, MaxFiles)
		}
		b, err := ReadFile(filepath.Join(dir, e.Name()), left)
		if err != nil {
			return nil, err
		}
		left -= int64(len(b))
		files = append(files, File{e.Name(), b})
	}
	return files, err
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return b, err
}
