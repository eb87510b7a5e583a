// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package measure computes, without any hardware, what a machine's hardware will
// report once it was started from given files in a given way: the launch digest of
// AMD SEV-SNP, MRTD and RTMRs of Intel TDX, registers of a TPM (spec/measure.md).
// What comes out are rules for a policy, as package attest's platforms read them,
// so that a release says of exactly these files that machines run them:
//
//	in, err := measure.Parse(config)
//	for _, f := range in.Files() {
//		f.Open(r, size) // what f.Name stands for
//	}
//	m, err := measure.Compute(in)
//	rules := m.Rules() // "snp", "tdx", "tpm"
//
// The package opens no file and asks nobody: callers hand it what it reads. It is
// not linked into the browser.
//
// Below it, ovmf reads firmware, snp and tdx compute what processors measure of
// it, pe reads programs for UEFI, and boot knows what is measured from then on.
package measure

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/attest"
)

const (
	// MaxConfig is the most bytes of a description.
	MaxConfig = 256 << 10

	maxShapes = 8   // of one platform
	maxEvents = 128 // of one shape
	maxText   = 4096
	maxSmall  = 16 << 20 // bytes of a file that is read whole but for firmware
)

// Inputs describe how machines of a release start. Each entry of a list is one
// shape that machines may have: another number of processors, say.
type Inputs struct {
	SNP []SNP `json:"snp"`
	TDX []TDX `json:"tdx"`
	TPM []TPM `json:"tpm"`
}

// File is a file that goes into a measurement.
type File struct {
	Name   string `json:"name"`   // what the caller finds it by
	SHA256 string `json:"sha256"` // "sha256:<hex>"; if left out, whatever it holds

	r    io.ReaderAt
	size int64
}

// Open gives the file's bytes. They are read when they are needed, more than once.
func (f *File) Open(r io.ReaderAt, size int64) { f.r, f.size = r, size }

// SNP is a machine under AMD SEV-SNP.
type SNP struct {
	Firmware File `json:"firmware"` // an OVMF, whole

	// What QEMU loads beside the firmware, which compares it with hashes that are
	// measured. Kernel may be a unified kernel image. Without it the firmware boots
	// from a disk, which nothing here measures: then Disk must be true, and it is
	// the firmware that must let nothing else start.
	Kernel  *File  `json:"kernel"`
	Initrd  *File  `json:"initrd"`
	Cmdline string `json:"cmdline"`
	Disk    bool   `json:"disk"`

	VCPUs    int    `json:"vcpus"`
	CPU      string `json:"cpu"`      // as QEMU calls it ("EPYC-v4", "EPYC-Milan"), or a signature ("0x800f12")
	Features uint64 `json:"features"` // SEV_FEATURES; 1 if left out
	Host     string `json:"host"`     // "qemu" if left out, "qemu-legacy", "ec2"
}

// TDX is a machine under Intel TDX.
type TDX struct {
	Firmware File   `json:"firmware"` // an OVMF, whole
	Pages    string `json:"pages"`    // order in which the host measures: "page" if left out, or "section"

	// What RTMR 0 holds of the host's choices.
	Memory     uint64     `json:"memory"`      // bytes
	LowMemory  uint64     `json:"low_memory"`  // bytes below 4 GiB; as QEMU's q35 has it if left out
	ACPI       *ACPI      `json:"acpi"`        // the tables that the host passes
	SecureBoot string     `json:"secure_boot"` // "none": the firmware was built without; "off": no keys; "keys": those in Variables
	Variables  []Variable `json:"variables"`

	// What QEMU loads beside the firmware. Kernel may be a unified kernel image: then
	// Inner says whether firmware measures the kernel inside by itself, too.
	Kernel  *File  `json:"kernel"`
	Initrd  *File  `json:"initrd"`
	Cmdline string `json:"cmdline"`
	Inner   *bool  `json:"inner"`

	// LastSeparator is the RTMR into which firmware measures that it hands over: 1
	// if left out, 0 with older ones.
	LastSeparator *int `json:"last_separator"`

	// Events, if there are any, are all events of RTMR 0 to 3 in place of what is
	// between Memory and here, but for Memory and LowMemory themselves.
	Events []Event `json:"events"`
}

// ACPI are three files of QEMU's fw_cfg.
type ACPI struct {
	Loader File `json:"loader"` // etc/table-loader
	RSDP   File `json:"rsdp"`   // etc/acpi/rsdp
	Tables File `json:"tables"` // etc/acpi/tables
}

// Variable is a UEFI variable.
type Variable struct {
	GUID     string `json:"guid"`
	Name     string `json:"name"`
	Data     string `json:"data"`     // contents in hex
	Contents *File  `json:"contents"` // or in a file
}

// TPM is a machine whose firmware starts a unified kernel image.
type TPM struct {
	Banks []string `json:"banks"` // "sha256", "sha384"

	Image   File  `json:"image"`
	Inner   *bool `json:"inner"`   // whether firmware measures the kernel inside by itself, too
	Calling *bool `json:"calling"` // whether firmware measures that it calls a boot option; true if left out

	// Variables are SecureBoot, PK, KEK, db and dbx, Authorities what of them
	// vouched for the image. Without them register 7 is left open.
	Variables   []Variable `json:"variables"`
	Authorities []Variable `json:"authorities"`

	// Events, if there are any, are all events of all registers that are pinned, in
	// place of all above but Banks.
	Events []Event `json:"events"`
}

// Event is an event of a start that isn't one of the usual ones.
type Event struct {
	Register int    `json:"register"` // a PCR, or an RTMR
	Kind     string `json:"kind"`     // see spec/measure.md, "Events"
	Text     string `json:"text"`     // of action, text, options
	Data     string `json:"data"`     // of bytes, variable: in hex
	File     *File  `json:"file"`     // of contents, image, inner, unified, kernel, variable
	GUID     string `json:"guid"`     // of variable
	Name     string `json:"name"`     // of variable
	SHA256   string `json:"sha256"`   // of digest: 64 hex digits; none in TDX
	SHA384   string `json:"sha384"`   // of digest: 96 hex digits
}

// Parse reads a description: one JSON object, without fields that aren't known,
// fields that stand there twice, or null.
func Parse(config []byte) (Inputs, error) {
	var in Inputs
	if len(config) > MaxConfig {
		return in, errors.New("measure: the description is longer than " + strconv.Itoa(MaxConfig) + " bytes")
	}
	if err := attest.Strictly(config, &in); err != nil {
		return in, fmt.Errorf("measure: the description can't be read: %w", err)
	}
	if len(in.SNP)+len(in.TDX)+len(in.TPM) == 0 {
		return in, errors.New("measure: the description describes no machine: give snp, tdx or tpm")
	}
	if max(len(in.SNP), len(in.TDX), len(in.TPM)) > maxShapes {
		return in, errors.New("measure: there are more than 8 shapes of one platform")
	}
	return in, nil
}

// Files returns all files of the description, for the caller to open.
func (in *Inputs) Files() []*File {
	var out []*File
	add := func(files ...*File) {
		for _, f := range files {
			if f != nil {
				out = append(out, f)
			}
		}
	}
	variables := func(l []Variable) {
		for i := range l {
			add(l[i].Contents)
		}
	}
	events := func(l []Event) {
		for i := range l {
			add(l[i].File)
		}
	}
	for i := range in.SNP {
		add(&in.SNP[i].Firmware, in.SNP[i].Kernel, in.SNP[i].Initrd)
	}
	for i := range in.TDX {
		m := &in.TDX[i]
		add(&m.Firmware, m.Kernel, m.Initrd)
		if m.ACPI != nil {
			add(&m.ACPI.Loader, &m.ACPI.RSDP, &m.ACPI.Tables)
		}
		variables(m.Variables)
		events(m.Events)
	}
	for i := range in.TPM {
		m := &in.TPM[i]
		if len(m.Events) == 0 {
			add(&m.Image)
		}
		variables(m.Variables)
		variables(m.Authorities)
		events(m.Events)
	}
	return out
}

// Measurements are what comes out: rules for the three platforms, and what went
// into them.
type Measurements struct {
	SNP *SNPRules
	TDX *TDXRules
	TPM *TPMRules

	From []From // by platform
}

// SNPRules are fields of the rules of "snp" (spec/evidence-snp.md, "Policy").
type SNPRules struct {
	Measurements []string `json:"measurements"`
}

// TDXRules are fields of the rules of "tdx" (spec/evidence-tdx.md, "Policy"). A
// machine of one shape with a register of another is let in too: each list stands
// for itself.
type TDXRules struct {
	MRTD  []string `json:"mrtd"`
	RTMR0 []string `json:"rtmr0,omitempty"`
	RTMR1 []string `json:"rtmr1,omitempty"`
	RTMR2 []string `json:"rtmr2,omitempty"`
	RTMR3 []string `json:"rtmr3,omitempty"`
}

// TPMRules are fields of the rules of "tpm" (spec/evidence-tpm.md, "Policy").
type TPMRules struct {
	Events []EventRule    `json:"events,omitempty"`
	PCRs   []RegisterRule `json:"pcrs"`
}

// RegisterRule says what one register may hold.
type RegisterRule struct {
	Bank   string   `json:"bank"`
	PCR    int      `json:"pcr"`
	Values []string `json:"values"`
}

// EventRule says with which digests a register must begin.
type EventRule struct {
	Bank  string     `json:"bank"`
	Begin [][]string `json:"begin"`
	PCR   int        `json:"pcr"`
}

// From says what went into the measurements of one platform, and what came out, for
// people who compute them again.
type From struct {
	Platform string
	Inputs   []Value // sorted by name
	Values   []Value // sorted by name
}

// Value is a name and what stands for it.
type Value struct{ Name, Value string }

// Rules returns the rules of each platform that was described, by its name. Fields
// are sorted, numbers whole.
func (m Measurements) Rules() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	add := func(name string, there bool, v any) {
		if there {
			b, _ := json.Marshal(v) // of strings and integers
			out[name] = b
		}
	}
	add("snp", m.SNP != nil, m.SNP)
	add("tdx", m.TDX != nil, m.TDX)
	add("tpm", m.TPM != nil, m.TPM)
	return out
}

// Compute computes all that is described. Every file must have been opened; one
// that isn't what its digest says is an error. Where the description gave no digest,
// the one found is filled in.
func Compute(in Inputs) (m Measurements, err error) {
	if len(in.SNP) > 0 {
		m.SNP = &SNPRules{}
		err = m.shapes("snp", len(in.SNP), func(i int, w *writer) error { return in.SNP[i].compute(m.SNP, w) })
	}
	if err == nil && len(in.TDX) > 0 {
		m.TDX = &TDXRules{}
		err = m.shapes("tdx", len(in.TDX), func(i int, w *writer) error { return in.TDX[i].compute(m.TDX, w) })
	}
	if err == nil && len(in.TPM) > 0 {
		m.TPM = &TPMRules{}
		err = m.shapes("tpm", len(in.TPM), func(i int, w *writer) error { return in.TPM[i].compute(m.TPM, w) })
	}
	if err == nil && len(m.From) == 0 {
		err = errors.New("no machine is described")
	}
	if err != nil {
		return Measurements{}, fmt.Errorf("measure: %w", err)
	}
	return m, nil
}

// shapes computes all shapes of one platform. All must pin the same registers: of
// one that only some pin, the others' machines could hold anything but those values,
// and would be refused.
func (m *Measurements) shapes(platform string, n int, compute func(i int, w *writer) error) error {
	w := writer{From: From{Platform: platform}}
	pins := ""
	for i := range n {
		w.shape, w.pins = i+1, ""
		if err := compute(i, &w); err != nil {
			return fmt.Errorf("%s, shape %d: %w", platform, i+1, err)
		}
		if i > 0 && w.pins != pins {
			return fmt.Errorf("%s, shape %d: it pins other registers than the first does; describe all of each shape, or each in a release of its own", platform, i+1)
		}
		pins = w.pins
	}
	for _, l := range [][]Value{w.Inputs, w.Values} {
		slices.SortFunc(l, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
	}
	m.From = append(m.From, w.From)
	return nil
}

// writer keeps what went in and came out.
type writer struct {
	From
	shape int
	pins  string // which registers the shape pins
}

func (w *writer) in(name, value string) {
	w.Inputs = append(w.Inputs, Value{"shape " + strconv.Itoa(w.shape) + " " + name, value})
}

func (w *writer) out(name, value string) {
	w.pins += name + "\n"
	w.Values = append(w.Values, Value{"shape " + strconv.Itoa(w.shape) + " " + name, value})
}

func (w *writer) file(name string, f *File) { w.in(name, f.SHA256) }

// plain checks that a text is one that a manifest can hold, and that is measured
// alike by whoever passes it on.
func plain(what, s string) error {
	if len(s) > maxText {
		return errors.New(what + " is longer than 4,096 bytes")
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return errors.New(what + " holds something else than printable ASCII")
		}
	}
	return nil
}

// add puts a value into a list that holds it once.
func add(l *[]string, digest []byte) string {
	v := hex.EncodeToString(digest)
	if !slices.Contains(*l, v) {
		*l = append(*l, v)
	}
	return v
}
