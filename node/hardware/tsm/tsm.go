// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tsm asks the processor of a confidential machine for a signed report,
// over the kernel's common interface for SEV-SNP and TDX (Linux,
// Documentation/ABI/testing/configfs-tsm-report; since 6.7).
//
// One report is one folder under [Root]: making the folder makes the kernel
// ready, 64 bytes written into it are what the processor shall sign, and reading
// from it has the processor sign. The kernel counts what was written there, so
// that nobody else's bytes can be signed in between without our noticing.
package tsm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sotto-chat/sotto/internal/collateral"
)

// Root is where the kernel has its reports.
const Root = "/sys/kernel/config/tsm/report"

// Providers that this package knows, as the kernel names them.
const (
	ProviderSNP = "sev_guest"
	ProviderTDX = "tdx_guest"
)

// maxBlob bounds what is read of the kernel: some kilobytes in practice.
const maxBlob = 1 << 20

// attempts is how often a report is asked for that others got in the way of.
const attempts = 5

// Report is what the kernel hands over.
type Report struct {
	Out []byte // a SEV-SNP report, or a TDX quote
	Aux []byte // SEV-SNP: the host's table of certificates; nil where it has none
}

// TSM makes reports. Its methods may be called from any goroutine.
type TSM struct {
	files    files
	provider string
}

// Open looks for the interface under root, "" meaning [Root]. Without it, or
// without a processor behind it, it returns nil and no error.
func Open(root string) (*TSM, error) {
	if root == "" {
		root = Root
	}
	return open(folder(root))
}

func open(f files) (*TSM, error) {
	t := &TSM{files: f}
	err := t.within(func(dir string) error {
		name, err := f.read(path.Join(dir, "provider"))
		t.provider = strings.TrimSpace(string(name))
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENXIO):
		return nil, nil // no such interface, or nothing registered with it
	case err != nil:
		return nil, fmt.Errorf("asking the kernel what kind of machine this is: %w", err)
	}
	return t, nil
}

// Provider names the kind of processor: [ProviderSNP], [ProviderTDX] or another.
func (t *TSM) Provider() string { return t.provider }

// Report has the processor sign reportData. It takes milliseconds where the
// processor signs itself, and seconds where a service of the host does.
func (t *TSM) Report(reportData [64]byte) (r Report, err error) {
	for range attempts {
		err = t.within(func(dir string) error {
			r, err = t.report(dir, reportData)
			return err
		})
		if err == nil || !errors.Is(err, errRaced) && !errors.Is(err, syscall.EAGAIN) &&
			!errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return Report{}, fmt.Errorf("asking the processor (%s) for its report: %w", t.provider, err)
	}
	return r, nil
}

var errRaced = errors.New("something else wrote into the same report")

func (t *TSM) report(dir string, reportData [64]byte) (r Report, err error) {
	writes := "1" // how often the kernel has seen us write
	if err = t.files.write(path.Join(dir, "inblob"), reportData[:]); err != nil {
		return r, err
	}
	// Where a more privileged layer runs inside the machine, the kernel may not
	// speak in its name; the level stands in the report for a policy to judge.
	switch floor, err := t.files.read(path.Join(dir, "privlevel_floor")); {
	case err == nil:
		if err := t.files.write(path.Join(dir, "privlevel"), floor); err != nil {
			return r, err
		}
		writes = "2"
	case !errors.Is(err, fs.ErrNotExist):
		return r, err
	}
	if r.Out, err = t.files.read(path.Join(dir, "outblob")); err != nil {
		return r, err
	}
	r.Aux, err = t.files.read(path.Join(dir, "auxblob"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENXIO) {
		return r, err
	}
	provider, err := t.files.read(path.Join(dir, "provider"))
	if err != nil {
		return r, err
	}
	generation, err := t.files.read(path.Join(dir, "generation"))
	switch {
	case err != nil:
		return r, err
	case strings.TrimSpace(string(generation)) != writes:
		return r, errRaced
	case strings.TrimSpace(string(provider)) != t.provider:
		return r, fmt.Errorf("the kernel now names %q", provider)
	case len(r.Out) == 0:
		return r, errors.New("the report is empty")
	}
	return r, nil
}

// within makes a folder for one report, of a name that nobody else uses, and
// removes it afterwards.
func (t *TSM) within(do func(dir string) error) error {
	dir := "sotto-" + rand.Text()
	if err := t.files.mkdir(dir); err != nil {
		return err
	}
	return errors.Join(do(dir), t.files.remove(dir))
}

// files is the edge to the kernel, which a test replaces. Names are relative.
type files interface {
	mkdir(name string) error
	remove(name string) error
	read(name string) ([]byte, error)
	write(name string, b []byte) error // in one call
}

// folder is the real one.
type folder string

func (f folder) at(name string) string    { return filepath.Join(string(f), name) }
func (f folder) mkdir(name string) error  { return os.Mkdir(f.at(name), 0o700) }
func (f folder) remove(name string) error { return syscall.Rmdir(f.at(name)) }

func (f folder) read(name string) ([]byte, error) { return collateral.ReadFile(f.at(name), maxBlob) }

func (f folder) write(name string, b []byte) error {
	// Never made anew: a report is a folder of the kernel's own files.
	file, err := os.OpenFile(f.at(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	return errors.Join(err, file.Close())
}
