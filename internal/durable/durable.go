// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package durable writes what must outlive a power cut, and keeps a key and the
// state that belongs to it together.
//
// A log that forgot what it published, or a witness that forgot what it cosigned,
// would sign a second history without knowing. So a file is on the disk, whole or
// not at all, before anybody is told of it ([Write]); and a key is not used with a
// folder that isn't its own ([Key]).
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// unfinished is how the names of files begin that a crash left half written.
const unfinished = ".unfinished-"

// Write puts data into the file at path, replacing what was there. When it
// returns nil, the file is on the disk with its name; until then, a crash leaves
// what was there before. The folder has to exist. The file is readable by its
// owner only.
func Write(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, unfinished) // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder puts a folder's names on the disk: renaming alone doesn't.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Sweep removes what writing that was cut short has left in dir.
func Sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Files of a folder: the one that says whose state it is, and the one that its
// program holds a lock of.
const (
	owner = "owner"
	lock  = "lock"
)

// Pair says where a signing key and its state are, and how keys are made.
type Pair struct {
	Dir  string // the folder of the state
	File string // the file of the private key, mode 0600; it may be in Dir
	// Adopt lets a key that was made elsewhere begin with an empty folder.
	Adopt bool
	// Generate makes a key: the private one as it stands in the file, and its
	// public name.
	Generate func() (private, public string, err error)
	// Public returns a private key's public name.
	Public func(private string) (string, error)
}

// Key returns the private key. The first time, with neither a key nor a state, it
// makes the key and marks the folder as this key's. From then on the two belong
// together: a key without its folder, a folder without its key, and a folder of
// another key are refused, with what to do.
func Key(p Pair) (private string, err error) {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return "", err
	}
	if err := Sweep(p.Dir); err != nil {
		return "", err
	}
	mark := filepath.Join(p.Dir, owner)
	marked, err := readLine(mark)
	if err != nil {
		return "", err
	}
	if marked != "" {
		// As this is written before the key, a first start that was cut short has
		// only this.
		empty, err := onlyOwner(p)
		if err != nil {
			return "", err
		}
		if empty {
			if _, err := os.Stat(p.File); errors.Is(err, fs.ErrNotExist) {
				marked = ""
			}
		}
	}
	private, err = readLine(p.File)
	if err != nil {
		return "", err
	}
	switch {
	case private == "" && marked == "":
		private, public, err := p.Generate()
		if err != nil {
			return "", err
		}
		if err := os.MkdirAll(filepath.Dir(p.File), 0o700); err != nil {
			return "", err
		}
		if err := Write(mark, []byte(public+"\n")); err != nil {
			return "", err
		}
		if err := Write(p.File, []byte(private+"\n")); err != nil {
			return "", err
		}
		return private, nil
	case private == "":
		return "", fmt.Errorf("the key file %s is missing, and the folder %s belongs to the key %s: put the key back, or begin anew with another folder and tell everybody the new key", p.File, p.Dir, marked)
	}
	if info, err := os.Stat(p.File); err != nil {
		return "", err
	} else if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("others can read the key file %s: make it yours alone with chmod 600, and think about who may have read it", p.File)
	}
	public, err := p.Public(private)
	if err != nil {
		return "", fmt.Errorf("the key file %s: %w", p.File, err)
	}
	if marked == "" {
		empty, err := onlyOwner(p)
		if err != nil {
			return "", err
		}
		if !p.Adopt || !empty {
			return "", fmt.Errorf("the folder %s doesn't hold the state of the key in %s: with another state, the key could sign a second history. Name the right folder; if the key has never been used, say so with -init", p.Dir, p.File)
		}
		return private, Write(mark, []byte(public+"\n"))
	}
	if marked != public {
		return "", fmt.Errorf("the folder %s belongs to the key %s, and the key file %s holds %s: name the right folder, or the right key", p.Dir, marked, p.File, public)
	}
	return private, nil
}

// maxLine bounds the two files, which hold one short line each.
const maxLine = 1024

// readLine returns the one line of a small file, "" where there is no file.
func readLine(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if info.Size() > maxLine {
		return "", fmt.Errorf("%s is no file of one line", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(string(b), "\n")
	if !ok || line == "" || strings.ContainsAny(line, "\r\n") {
		return "", fmt.Errorf("%s is damaged: it should hold one line", path)
	}
	return line, nil
}

// onlyOwner reports whether a folder holds nothing but its mark, and the key.
func onlyOwner(p Pair) (bool, error) {
	list, err := os.ReadDir(p.Dir)
	if err != nil {
		return false, err
	}
	for _, e := range list {
		if e.Name() != owner && e.Name() != lock && filepath.Join(p.Dir, e.Name()) != filepath.Clean(p.File) {
			return false, nil
		}
	}
	return true, nil
}

// ErrInUse says that another process has a folder.
var ErrInUse = errors.New("another program is using the folder")

// Lock takes dir for this process until it ends or unlock is called, so that two
// of a kind can't each go on from the same state. A folder that another process
// has is refused at once. A process that is killed leaves no lock behind.
func Lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w %s: end it first", ErrInUse, dir)
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}
