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
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/release/measure/boot"
	"github.com/sotto-chat/sotto/release/measure/ovmf"
	"github.com/sotto-chat/sotto/release/measure/pe"
	"github.com/sotto-chat/sotto/release/measure/snp"
	"github.com/sotto-chat/sotto/release/measure/tdx"
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
	if err := (attest.Policy{Platforms: map[string]json.RawMessage{"": config}}).Rules("", &in); err != nil {
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

// digest hashes a file, and compares with the digest that the description gives.
func (f *File) digest() (sum [32]byte, err error) {
	if f.r == nil {
		return sum, errors.New("a file is missing")
	}
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f.r, 0, f.size))
	if err == nil && n != f.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return sum, fmt.Errorf("%s can't be read: %w", f.Name, err)
	}
	found := "sha256:" + hex.EncodeToString(h.Sum(nil))
	if f.SHA256 != "" && f.SHA256 != found {
		return sum, fmt.Errorf("%s is another file than the one described: it is %s", f.Name, found)
	}
	f.SHA256 = found
	return [32]byte(h.Sum(nil)), nil
}

// bytes returns a whole file that may be at most limit long.
func (f *File) bytes(limit int64) ([]byte, error) {
	if _, err := f.digest(); err != nil {
		return nil, err
	}
	if f.size > limit {
		return nil, errors.New(f.Name + " is longer than such a file can be")
	}
	b := make([]byte, f.size)
	if n, err := f.r.ReadAt(b, 0); n != len(b) {
		return nil, fmt.Errorf("%s can't be read: %w", f.Name, err)
	}
	// What was hashed before must be what is used.
	if sum := sha256.Sum256(b); "sha256:"+hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, errors.New(f.Name + " changed while it was read")
	}
	return b, nil
}

func (f *File) firmware() (*ovmf.Image, error) {
	b, err := f.bytes(ovmf.MaxSize)
	if err != nil {
		return nil, err
	}
	return ovmf.Parse(b)
}

func (f *File) program() (*pe.Image, error) {
	if _, err := f.digest(); err != nil {
		return nil, err
	}
	m, err := pe.Parse(f.r, f.size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return m, nil
}

func (f *File) contents() (boot.Event, error) {
	if _, err := f.digest(); err != nil {
		return boot.Event{}, err
	}
	return boot.Contents(f.Name, f.r, f.size)
}

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

func (s *SNP) compute(r *SNPRules, w *writer) error {
	fw, err := s.Firmware.firmware()
	if err != nil {
		return err
	}
	if s.Features == 0 {
		s.Features = 1
	}
	if s.Host == "" {
		s.Host = snp.QEMU
	}
	if s.Host == snp.EC2 && s.CPU != "" {
		return errors.New("the CPU's model isn't measured with ec2: leave it out")
	}
	c := snp.Config{VCPUs: s.VCPUs, CPU: s.CPU, Features: s.Features, Host: s.Host}
	switch {
	case s.Kernel != nil && s.Disk:
		return errors.New("it has a kernel and a disk to boot from: leave one out")
	case s.Kernel != nil:
		if err := plain("the command line", s.Cmdline); err != nil {
			return err
		}
		b := snp.Boot{Cmdline: s.Cmdline, Initrd: sha256.Sum256(nil)}
		if b.Kernel, err = s.Kernel.digest(); err != nil {
			return err
		}
		w.file("kernel", s.Kernel)
		if s.Initrd != nil {
			if b.Initrd, err = s.Initrd.digest(); err != nil {
				return err
			}
			w.file("initrd", s.Initrd)
		}
		w.in("cmdline", s.Cmdline)
		c.Boot = &b
	case s.Initrd != nil || s.Cmdline != "":
		return errors.New("it has an initrd or a command line and no kernel")
	case !s.Disk:
		return errors.New("it has no kernel: what a disk holds isn't measured, so say \"disk\": true if the firmware itself starts nothing else")
	}
	d, err := snp.Digest(fw, c)
	if err != nil {
		return err
	}
	w.file("firmware", &s.Firmware)
	w.in("vcpus", strconv.Itoa(s.VCPUs))
	w.in("cpu", s.CPU)
	w.in("features", "0x"+strconv.FormatUint(s.Features, 16))
	w.in("host", s.Host)
	w.out("measurement", add(&r.Measurements, d[:]))
	return nil
}

func (t *TDX) compute(r *TDXRules, w *writer) error {
	fw, err := t.Firmware.firmware()
	if err != nil {
		return err
	}
	if t.Pages == "" {
		t.Pages = tdx.ByPage
	}
	mrtd, err := tdx.MRTD(fw, t.Pages)
	if err != nil {
		return err
	}
	w.file("firmware", &t.Firmware)
	w.in("pages", t.Pages)
	w.out("mrtd", add(&r.MRTD, mrtd[:]))
	var list boot.List
	if len(t.Events) > 0 {
		if t.ACPI != nil || t.SecureBoot != "" || t.Variables != nil || t.Kernel != nil || t.Initrd != nil || t.Cmdline != "" || t.Inner != nil || t.LastSeparator != nil {
			return errors.New("it has events and what they stand in place of: leave one out")
		}
		f := firmware{fw, tdx.Memory{Size: t.Memory, Low: t.LowMemory}}
		if list, err = events(t.Events, &f, 3, w); err != nil {
			return err
		}
	} else if list, err = t.usual(fw, w); err != nil {
		return err
	}
	w.in("memory", strconv.FormatUint(t.Memory, 10))
	w.in("low memory", strconv.FormatUint(t.LowMemory, 10))
	values := list.Replay(boot.SHA384)
	// Nothing extends RTMR 3 before the node's own programs do.
	if values[3] == nil {
		values[3] = make([]byte, 48)
	}
	for i, to := range [...]*[]string{&r.RTMR0, &r.RTMR1, &r.RTMR2, &r.RTMR3} {
		if values[i] != nil {
			w.out("rtmr"+strconv.Itoa(i), add(to, values[i]))
		}
	}
	return nil
}

// usual returns the events of a machine that QEMU starts with a kernel.
func (t *TDX) usual(fw *ovmf.Image, w *writer) (list boot.List, err error) {
	if t.Kernel == nil || t.ACPI == nil {
		return nil, errors.New("it lacks a kernel or the ACPI tables: give them, or list the events")
	}
	last := 1
	if t.LastSeparator != nil {
		last = *t.LastSeparator
	}
	if last != 0 && last != 1 {
		return nil, errors.New("last_separator is neither 0 nor 1")
	}
	start := tdx.Start{Memory: tdx.Memory{Size: t.Memory, Low: t.LowMemory}}
	for i, f := range [...]*File{&t.ACPI.Loader, &t.ACPI.RSDP, &t.ACPI.Tables} {
		if start.ACPI[i], err = f.contents(); err != nil {
			return nil, err
		}
		w.file([...]string{"acpi loader", "acpi rsdp", "acpi tables"}[i], f)
	}
	switch t.SecureBoot {
	case "none", "off":
		if len(t.Variables) > 0 {
			return nil, errors.New(`it has variables: say "secure_boot": "keys"`)
		}
		start.Variables = tdx.NoKeys(t.SecureBoot == "off")
	case "keys":
		if start.Variables, err = secureBoot(t.Variables); err != nil {
			return nil, err
		}
		variables(t.Variables, w)
	default:
		return nil, errors.New("secure_boot is neither none, off nor keys")
	}
	w.in("secure boot", t.SecureBoot)
	rtmr0, err := tdx.RTMR0(fw, start)
	if err != nil {
		return nil, err
	}
	list.Add(0, rtmr0...)

	kernel, err := t.Kernel.program()
	if err != nil {
		return nil, err
	}
	w.file("kernel", t.Kernel)
	image, err := boot.Image("kernel", kernel)
	if err != nil {
		return nil, err
	}
	list.Add(1, image, boot.Action(boot.CallingApplication))
	list.Add(last, boot.Separator())
	w.in("last separator", strconv.Itoa(last))

	// Of two such sections, what follows has something to say.
	if _, unified, _ := kernel.Section(".linux"); unified {
		if t.Initrd != nil || t.Cmdline != "" {
			return nil, errors.New("the kernel is a unified kernel image, which brings its own initrd and command line: leave yours out")
		}
		parts, err := unifiedEvents(kernel, t.Inner, w)
		if err != nil {
			return nil, err
		}
		list.Add(2, parts.image...)
		list.Add(1, parts.inner...)
		list.Add(2, parts.options...)
	} else {
		if t.Inner != nil {
			return nil, errors.New("inner is about unified kernel images, and the kernel isn't one")
		}
		if err := plain("the command line", t.Cmdline); err != nil {
			return nil, err
		}
		if t.Cmdline == "" {
			return nil, errors.New("it has no command line, and whether an empty one is measured depends on the kernel: give one, or list the events")
		}
		options := t.Cmdline
		if t.Initrd != nil {
			// OVMF tells the kernel by this where to find it (OvmfPkg,
			// GenericQemuLoadImageLib).
			options += " initrd=initrd"
		}
		list.Add(2, boot.LoadOptions(options))
		w.in("cmdline", t.Cmdline)
		if t.Initrd != nil {
			initrd, err := t.Initrd.contents()
			if err != nil {
				return nil, err
			}
			w.file("initrd", t.Initrd)
			list.Add(2, initrd)
		}
	}
	list.Add(1, boot.Action(boot.ExitBootServices), boot.Action(boot.ExitedBootServices))
	return list, nil
}

// parts are what is measured of a unified kernel image, but for the image itself.
type parts struct{ image, inner, options []boot.Event }

func unifiedEvents(m *pe.Image, inner *bool, w *writer) (p parts, err error) {
	if inner == nil {
		return p, errors.New("inner is missing: say whether firmware measures the kernel inside the image by itself, too; it depends on the version of systemd-stub")
	}
	if p.image, err = boot.UnifiedImage(m); err != nil {
		return p, err
	}
	if *inner {
		k, err := boot.Inner(m)
		if err != nil {
			return p, fmt.Errorf("the kernel inside the image: %w", err)
		}
		e, err := boot.Image("kernel inside the image", k)
		if err != nil {
			return p, err
		}
		p.inner = []boot.Event{e}
	}
	w.in("inner", strconv.FormatBool(*inner))
	p.options, err = boot.KernelOptions(m)
	return p, err
}

// secureBootNames are the variables of Secure Boot in the order in which firmware
// measures them (PFP 1.06, section 3.3.4.8).
var secureBootNames = [...][2]string{
	{boot.GlobalVariable, "SecureBoot"}, {boot.GlobalVariable, "PK"}, {boot.GlobalVariable, "KEK"},
	{boot.ImageSecurity, "db"}, {boot.ImageSecurity, "dbx"},
}

func secureBoot(l []Variable) ([]boot.Event, error) {
	bad := errors.New("variables are SecureBoot, PK, KEK, db and dbx, in this order, under their GUIDs")
	if len(l) < len(secureBootNames) {
		return nil, bad
	}
	for i, v := range secureBootNames {
		if l[i].Name != v[1] || l[i].GUID != v[0] {
			return nil, bad
		}
	}
	return authorities(l)
}

func authorities(l []Variable) (out []boot.Event, err error) {
	if len(l) > maxEvents {
		return nil, errors.New("there are more than 128 variables")
	}
	for i := range l {
		e, err := l[i].event()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (v *Variable) event() (e boot.Event, err error) {
	if err := plain("a variable's name", v.Name); err != nil {
		return e, err
	}
	if len(v.Data) > maxText {
		return e, errors.New("a variable's contents are longer than 2,048 bytes: give them in a file")
	}
	var contents []byte
	if v.Contents != nil {
		if v.Data != "" {
			return e, errors.New("a variable has its contents twice")
		}
		contents, err = v.Contents.bytes(maxSmall)
	} else {
		contents, err = unhex(v.Data)
	}
	if err != nil {
		return e, err
	}
	return boot.Variable(v.GUID, v.Name, contents)
}

// variables writes down what variables there were: name and contents, or their
// digest.
func variables(l []Variable, w *writer) {
	for i, v := range l {
		value := v.Name + " " + v.Data
		if v.Contents != nil {
			value += v.Contents.SHA256
		}
		w.in(fmt.Sprintf("variable %03d", i+1), strings.TrimSpace(value))
	}
}

func unhex(s string) ([]byte, error) {
	b, _ := hex.DecodeString(s) // of what it can't decode, the text of b is shorter
	if hex.EncodeToString(b) != s {
		return nil, errors.New("something isn't lower-case hex")
	}
	return b, nil
}

// firmware is what events of TDX may be about.
type firmware struct {
	image  *ovmf.Image
	memory tdx.Memory
}

// events makes a list of a description's events. fw is nil for a TPM.
func events(l []Event, fw *firmware, registers int, w *writer) (list boot.List, err error) {
	if len(l) > maxEvents {
		return nil, errors.New("there are more than 128 events")
	}
	for i := range l {
		if l[i].Register < 0 || l[i].Register > registers {
			return nil, fmt.Errorf("event %d names a register that there isn't", i+1)
		}
		es, err := l[i].events(fw)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		list.Add(l[i].Register, es...)
		// The digest says it all; kind and file tell what it is of.
		of := l[i].Kind
		if l[i].File != nil {
			of += " " + l[i].File.SHA256
		}
		bank := boot.SHA256
		if fw != nil {
			bank = boot.SHA384
		}
		for j := range es {
			w.in(fmt.Sprintf("event %03d", len(list)-len(es)+j+1), fmt.Sprintf("register %d, %x, %s", l[i].Register, es[j].Digest(bank), of))
		}
	}
	return list, nil
}

// one makes a list of one event.
func one(e boot.Event, err error) ([]boot.Event, error) {
	if err != nil {
		return nil, err
	}
	return []boot.Event{e}, nil
}

func (e *Event) events(fw *firmware) ([]boot.Event, error) {
	// Each kind has its fields and no other, so that none is overlooked.
	fields := ""
	for _, f := range [...]struct {
		name string
		is   bool
	}{
		{"text ", e.Text != ""}, {"data ", e.Data != ""}, {"file ", e.File != nil}, {"guid ", e.GUID != ""}, {"name ", e.Name != ""},
		{"sha256 ", e.SHA256 != ""}, {"sha384 ", e.SHA384 != ""},
	} {
		if f.is {
			fields += f.name
		}
	}
	if err := plain("an event's text", e.Text); err != nil {
		return nil, err
	}
	wants := func(allowed ...string) error {
		if !slices.Contains(allowed, strings.TrimSpace(fields)) {
			return errors.New("an event of the kind " + e.Kind + " has other fields than it should have")
		}
		return nil
	}
	program := func() (*pe.Image, error) {
		if err := wants("file"); err != nil {
			return nil, err
		}
		return e.File.program()
	}
	switch e.Kind {
	case "separator":
		return []boot.Event{boot.Separator()}, wants("")
	case "action":
		return []boot.Event{boot.Action(e.Text)}, wants("text")
	case "text":
		return []boot.Event{boot.Data("text", append([]byte(e.Text), 0))}, wants("text")
	case "options":
		return []boot.Event{boot.LoadOptions(e.Text)}, wants("text", "")
	case "bytes":
		if err := wants("data"); err != nil {
			return nil, err
		}
		b, err := unhex(e.Data)
		return []boot.Event{boot.Data("bytes", b)}, err
	case "contents":
		if err := wants("file"); err != nil {
			return nil, err
		}
		return one(e.File.contents())
	case "variable":
		if err := wants("guid name", "data guid name", "file guid name"); err != nil {
			return nil, err
		}
		return one((&Variable{GUID: e.GUID, Name: e.Name, Data: e.Data, Contents: e.File}).event())
	case "digest":
		d := boot.Event{What: "digest"}
		allowed := []string{"sha256 sha384"}
		if fw != nil {
			allowed = []string{"sha384"} // TDX has no other
		}
		if err := wants(allowed...); err != nil {
			return nil, err
		}
		d2, _ := unhex(e.SHA256) // nil if it isn't hex
		d3, _ := unhex(e.SHA384)
		if len(d3) != 48 || len(d2) != 32 && fw == nil {
			return nil, errors.New("a digest is not 64 or 96 hex digits")
		}
		copy(d.SHA256[:], d2)
		copy(d.SHA384[:], d3)
		return []boot.Event{d}, nil
	case "image":
		m, err := program()
		if err != nil {
			return nil, err
		}
		return one(boot.Image(e.File.Name, m))
	case "inner":
		m, err := program()
		if err != nil {
			return nil, err
		}
		if m, err = boot.Inner(m); err != nil {
			return nil, err
		}
		return one(boot.Image(e.File.Name, m))
	case "unified":
		m, err := program()
		if err != nil {
			return nil, err
		}
		return boot.UnifiedImage(m)
	case "kernel":
		m, err := program()
		if err != nil {
			return nil, err
		}
		return boot.KernelOptions(m)
	case "memory", "configuration":
		if err := wants(""); err != nil {
			return nil, err
		}
		if fw == nil {
			return nil, errors.New("only firmware for TDX measures " + e.Kind)
		}
		if e.Kind == "memory" {
			return one(tdx.HOB(fw.image, fw.memory))
		}
		return one(tdx.Configuration(fw.image))
	}
	return nil, errors.New("the kind " + strconv.Quote(e.Kind) + " isn't known")
}

func (p *TPM) compute(r *TPMRules, w *writer) error {
	if len(p.Banks) == 0 {
		p.Banks = []string{string(boot.SHA256)}
	}
	for i, b := range p.Banks {
		if boot.Bank(b).New() == nil || slices.Contains(p.Banks[:i], b) {
			return errors.New("banks are sha256 and sha384, each once")
		}
	}
	var list boot.List
	var err error
	// Of these registers it counts that nobody extended them.
	still := []int{boot.PCRGrub, boot.PCROverrides, 13}
	if len(p.Events) > 0 {
		if p.Image.Name != "" || p.Inner != nil || p.Calling != nil || p.Variables != nil || p.Authorities != nil {
			return errors.New("it has events and what they stand in place of: leave one out")
		}
		still = nil
		if list, err = events(p.Events, nil, 23, w); err != nil {
			return err
		}
	} else if list, err = p.usual(w); err != nil {
		return err
	}
	for _, e := range list {
		if e.Register == 16 || e.Register == 23 {
			return errors.New("registers 16 and 23 can be reset by whatever runs: they say nothing")
		}
	}
	for _, b := range p.Banks {
		bank := boot.Bank(b)
		values := list.Replay(bank)
		for _, n := range still {
			values[n] = make([]byte, bank.New().Size())
		}
		for n := range 24 {
			switch {
			case values[n] == nil:
			case n == boot.PCRUnifiedImage:
				// Software measures there how far the start has come, so only the
				// beginning is known.
				w.out(fmt.Sprintf("%s pcr%02d begins to", b, n), r.begin(b, list.Digests(bank, n), values[n]))
			default:
				w.out(fmt.Sprintf("%s pcr%02d", b, n), r.value(b, n, values[n]))
			}
		}
	}
	return nil
}

func (p *TPM) usual(w *writer) (list boot.List, err error) {
	m, err := p.Image.program()
	if err != nil {
		return nil, err
	}
	w.file("image", &p.Image)
	image, err := boot.Image("unified kernel image", m)
	if err != nil {
		return nil, err
	}
	parts, err := unifiedEvents(m, p.Inner, w)
	if err != nil {
		return nil, err
	}
	calling := p.Calling == nil || *p.Calling
	if calling {
		list.Add(boot.PCRBootManager, boot.Action(boot.CallingApplication))
	}
	w.in("calling", strconv.FormatBool(calling))
	list.Add(boot.PCRBootManager, boot.Separator(), image)
	list.Add(boot.PCRBootManager, parts.inner...)
	list.Add(boot.PCRKernelOptions, parts.options...)
	list.Add(boot.PCRUnifiedImage, parts.image...)
	if len(p.Variables) > 0 {
		keys, err := secureBoot(p.Variables)
		if err != nil {
			return nil, err
		}
		vouched, err := authorities(p.Authorities)
		if err != nil {
			return nil, err
		}
		list.Add(boot.PCRSecureBoot, keys...)
		list.Add(boot.PCRSecureBoot, boot.Separator())
		list.Add(boot.PCRSecureBoot, vouched...)
		variables(append(slices.Clone(p.Variables), p.Authorities...), w)
	} else if len(p.Authorities) > 0 {
		return nil, errors.New("it has authorities and no variables")
	}
	return list, nil
}

func (r *TPMRules) value(bank string, pcr int, v []byte) string {
	i := slices.IndexFunc(r.PCRs, func(x RegisterRule) bool { return x.Bank == bank && x.PCR == pcr })
	if i < 0 {
		i, r.PCRs = len(r.PCRs), append(r.PCRs, RegisterRule{Bank: bank, PCR: pcr})
	}
	return add(&r.PCRs[i].Values, v)
}

func (r *TPMRules) begin(bank string, digests []string, v []byte) string {
	i := slices.IndexFunc(r.Events, func(x EventRule) bool { return x.Bank == bank })
	if i < 0 {
		i, r.Events = len(r.Events), append(r.Events, EventRule{Bank: bank, PCR: boot.PCRUnifiedImage})
	}
	if !slices.ContainsFunc(r.Events[i].Begin, func(l []string) bool { return slices.Equal(l, digests) }) {
		r.Events[i].Begin = append(r.Events[i].Begin, digests)
	}
	return hex.EncodeToString(v)
}
