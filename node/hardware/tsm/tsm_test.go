// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tsm

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// kernel is a fake of the interface: it counts writes as the real one does, and
// a test may break it.
type kernel struct {
	provider string
	floor    string // "" where the provider has no levels
	aux      []byte

	mu      sync.Mutex
	folders map[string]*report
	made    int

	mkdirErr error
	readErr  map[string]error // by file
	races    int              // how often somebody else writes before outblob is read
	empty    bool
	turncoat bool // another provider takes over while a report is made
}

type report struct {
	in         []byte
	level      string
	generation int
}

func (k *kernel) mkdir(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mkdirErr != nil {
		return k.mkdirErr
	}
	if k.folders == nil {
		k.folders = map[string]*report{}
	}
	if _, ok := k.folders[name]; ok || strings.Contains(name, "/") {
		return fs.ErrExist
	}
	k.folders[name] = &report{}
	k.made++
	return nil
}

func (k *kernel) remove(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.folders[name]; !ok {
		return fs.ErrNotExist
	}
	delete(k.folders, name)
	return nil
}

func (k *kernel) write(name string, b []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, file := k.folders[path.Dir(name)], path.Base(name)
	switch {
	case r == nil:
		return fs.ErrNotExist
	case file == "inblob" && len(b) <= 64:
		r.in = bytes.Clone(b)
	case file == "privlevel" && k.floor != "":
		if string(b) < k.floor {
			return syscall.EINVAL
		}
		r.level = strings.TrimSpace(string(b))
	default:
		return syscall.EACCES
	}
	r.generation++
	return nil
}

func (k *kernel) read(name string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, file := k.folders[path.Dir(name)], path.Base(name)
	if r == nil {
		return nil, fs.ErrNotExist
	}
	if err := k.readErr[file]; err != nil {
		return nil, err
	}
	switch file {
	case "provider":
		if k.turncoat && r.generation > 0 {
			return []byte("other_guest\n"), nil
		}
		return []byte(k.provider + "\n"), nil
	case "privlevel_floor":
		if k.floor != "" {
			return []byte(k.floor + "\n"), nil
		}
	case "generation":
		return []byte(strconv.Itoa(r.generation) + "\n"), nil
	case "outblob":
		if k.races > 0 {
			k.races--
			r.in, r.generation = []byte("another's"), r.generation+1
		}
		if k.empty {
			return nil, nil
		}
		return append([]byte("signed at "+r.level+": "), r.in...), nil
	case "auxblob":
		if k.aux != nil {
			return k.aux, nil
		}
	}
	return nil, fs.ErrNotExist
}

func reportData() (rd [64]byte) {
	for i := range rd {
		rd[i] = byte(i)
	}
	return rd
}

func TestReport(t *testing.T) {
	rd := reportData()
	for _, tt := range []struct {
		name string
		k    *kernel
		out  string
	}{
		{"SNP", &kernel{provider: ProviderSNP, floor: "0", aux: []byte("certificates")}, "signed at 0: " + string(rd[:])},
		{"SNP below another layer", &kernel{provider: ProviderSNP, floor: "2"}, "signed at 2: " + string(rd[:])},
		{"TDX", &kernel{provider: ProviderTDX}, "signed at : " + string(rd[:])},
		{"somebody writes in between", &kernel{provider: ProviderTDX, races: attempts - 1}, "signed at : " + string(rd[:])},
		{"no certificates, said in another way", &kernel{provider: ProviderSNP, floor: "0", readErr: map[string]error{"auxblob": syscall.ENXIO}}, "signed at 0: " + string(rd[:])},
	} {
		dev, err := open(tt.k)
		if err != nil || dev == nil || dev.Provider() != tt.k.provider {
			t.Fatalf("%s: %v, %v", tt.name, dev, err)
		}
		r, err := dev.Report(rd)
		if err != nil || string(r.Out) != tt.out || !bytes.Equal(r.Aux, tt.k.aux) {
			t.Errorf("%s: %q, %q, %v", tt.name, r.Out, r.Aux, err)
		}
		if len(tt.k.folders) != 0 {
			t.Errorf("%s: left %d folders behind", tt.name, len(tt.k.folders))
		}
	}
}

func TestReportFails(t *testing.T) {
	broken := errors.New("broken")
	for name, breakIt := range map[string]func(*kernel){
		"somebody writes all the time": func(k *kernel) { k.races = attempts },
		"the report is empty":          func(k *kernel) { k.empty = true },
		"another provider":             func(k *kernel) { k.turncoat = true },
		"outblob":                      func(k *kernel) { k.readErr = map[string]error{"outblob": broken} },
		"busy for good":                func(k *kernel) { k.readErr = map[string]error{"outblob": syscall.EBUSY} },
		"auxblob":                      func(k *kernel) { k.readErr = map[string]error{"auxblob": broken} },
		"generation":                   func(k *kernel) { k.readErr = map[string]error{"generation": broken} },
		"provider":                     func(k *kernel) { k.readErr = map[string]error{"provider": broken} },
		"privlevel_floor":              func(k *kernel) { k.readErr = map[string]error{"privlevel_floor": broken} },
		"mkdir":                        func(k *kernel) { k.mkdirErr = broken },
	} {
		k := &kernel{provider: ProviderSNP, floor: "0"}
		dev, err := open(k)
		if err != nil {
			t.Fatal(err)
		}
		breakIt(k)
		k.made = 0
		if r, err := dev.Report(reportData()); err == nil || r.Out != nil {
			t.Errorf("%s: %q", name, r.Out)
		}
		if len(k.folders) != 0 {
			t.Errorf("%s: left a folder behind", name)
		}
		if k.made > attempts {
			t.Errorf("%s: asked %d times", name, k.made)
		}
	}
}

func TestOpen(t *testing.T) {
	for name, tt := range map[string]struct {
		k  *kernel
		is bool // an error
	}{
		"no interface":          {&kernel{mkdirErr: fs.ErrNotExist}, false},
		"no processor, of late": {&kernel{mkdirErr: syscall.ENXIO}, false},
		"no processor, before":  {&kernel{readErr: map[string]error{"provider": syscall.ENXIO}}, false},
		"may not":               {&kernel{mkdirErr: fs.ErrPermission}, true},
		"can't say":             {&kernel{readErr: map[string]error{"provider": syscall.EIO}}, true},
	} {
		dev, err := open(tt.k)
		if dev != nil || (err != nil) != tt.is {
			t.Errorf("%s: %v, %v", name, dev, err)
		}
		if len(tt.k.folders) != 0 {
			t.Errorf("%s: left a folder behind", name)
		}
	}
	if dev, err := Open(filepath.Join(t.TempDir(), "absent")); dev != nil || err != nil {
		t.Errorf("without the interface: %v, %v", dev, err)
	}
}

// The edge itself, on a plain folder: it never makes files, and bounds what it reads.
func TestFolder(t *testing.T) {
	f := folder(t.TempDir())
	if err := f.mkdir("r"); err != nil {
		t.Fatal(err)
	}
	if err := f.mkdir("r"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if err := f.write("r/inblob", []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made a file: %v", err)
	}
	if err := os.WriteFile(f.at("r/inblob"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.write("r/inblob", []byte("abc")); err != nil {
		t.Fatal(err)
	}
	if b, err := f.read("r/inblob"); err != nil || string(b) != "abc" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.Truncate(f.at("r/inblob"), maxBlob+1); err != nil {
		t.Fatal(err)
	}
	if _, err := f.read("r/inblob"); err == nil {
		t.Error("read more than the bound")
	}
	if err := os.Remove(f.at("r/inblob")); err != nil {
		t.Fatal(err)
	}
	if err := f.remove("r"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.read("r/inblob"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}
