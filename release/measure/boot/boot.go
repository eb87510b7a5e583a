// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package boot says what firmware, systemd-stub and Linux measure while a machine
// starts, as a list of events, and what registers hold after them: those of a TPM
// (PCRs), or of Intel TDX (RTMRs).
//
// An event is a digest that goes into a register: new = hash(old ‖ digest). Each
// function that makes one names who measures what. A list is replayed by [List.Replay]:
//
//	var l boot.List
//	l.Add(4, boot.Action("Calling EFI Application from Boot Option"), boot.Separator())
//	image, err := boot.Image(uki)
//	l.Add(4, image)
//	pcrs := l.Replay(boot.SHA256)
//
// Nothing here asks a machine. What comes out is a claim about what a machine that
// was started so will report, and a log of such a machine (package attest/tcg) is
// what it can be compared with, event by event.
package boot

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/sotto-chat/sotto/release/measure/pe"
)

// Bank is a kind of digest.
type Bank string

// The banks that are computed. TDX has SHA-384 alone.
const (
	SHA256 Bank = "sha256"
	SHA384 Bank = "sha384"
)

// New returns the bank's hash, or nil for one that isn't known.
func (b Bank) New() hash.Hash {
	switch b {
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	}
	return nil
}

// Event is one measurement.
type Event struct {
	What   string // for people: who measured what
	SHA256 [32]byte
	SHA384 [48]byte
}

// Digest returns the event's digest of a bank.
func (e *Event) Digest(b Bank) []byte {
	if b == SHA384 {
		return e.SHA384[:]
	}
	return e.SHA256[:]
}

// Entry is an event and the register that it goes into: a TPM's PCR, or TDX's
// RTMR. Who makes the list knows.
type Entry struct {
	Register int
	Event
}

// List is what was measured, in its order.
type List []Entry

// Add appends events of one register.
func (l *List) Add(register int, events ...Event) {
	for _, e := range events {
		*l = append(*l, Entry{register, e})
	}
}

// Replay returns what registers hold after the events, for those that have any.
func (l List) Replay(b Bank) map[int][]byte {
	h := b.New()
	out := map[int][]byte{}
	for i := range l {
		old := out[l[i].Register]
		if old == nil {
			old = make([]byte, h.Size())
		}
		h.Reset()
		h.Write(old)
		h.Write(l[i].Digest(b))
		out[l[i].Register] = h.Sum(nil)
	}
	return out
}

// Digests returns the digests of one register's events, in hex.
func (l List) Digests(b Bank, register int) []string {
	var out []string
	for i := range l {
		if l[i].Register == register {
			out = append(out, hex.EncodeToString(l[i].Digest(b)))
		}
	}
	return out
}

// RTMR returns the register of TDX that stands for a TPM's (UEFI 2.10, section
// 38.4.1). ok is false for those that have none: 0 is in MRTD.
func RTMR(pcr int) (rtmr int, ok bool) {
	switch {
	case pcr == 1 || pcr == 7:
		return 0, true
	case pcr >= 2 && pcr <= 6:
		return 1, true
	case pcr >= 8 && pcr <= 15:
		return 2, true
	}
	return 0, false
}

// Data is the event of exactly these bytes.
func Data(what string, data []byte) Event {
	return Event{What: what, SHA256: sha256.Sum256(data), SHA384: sha512.Sum384(data)}
}

// Stream is the event of all that w is given by write.
func Stream(what string, write func(w io.Writer) error) (Event, error) {
	h2, h3 := sha256.New(), sha512.New384()
	if err := write(io.MultiWriter(h2, h3)); err != nil {
		return Event{}, err
	}
	return Event{What: what, SHA256: [32]byte(h2.Sum(nil)), SHA384: [48]byte(h3.Sum(nil))}, nil
}

// Contents is the event of a whole file.
func Contents(what string, r io.ReaderAt, size int64) (Event, error) {
	return Stream(what, func(w io.Writer) error {
		n, err := io.Copy(w, io.NewSectionReader(r, 0, size))
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
}

// Separator is EV_SEPARATOR without an error: four zeros (PFP 1.06, section 10.4.1).
func Separator() Event { return Data("separator", make([]byte, 4)) }

// Action is EV_EFI_ACTION: the text without a zero byte.
func Action(text string) Event { return Data("action "+text, []byte(text)) }

// Texts of actions that every start by UEFI has (PFP 1.06, section 10.4.4).
const (
	CallingApplication = "Calling EFI Application from Boot Option"
	ExitBootServices   = "Exit Boot Services Invocation"
	ExitedBootServices = "Exit Boot Services Returned with Success"
)

// Image is EV_EFI_BOOT_SERVICES_APPLICATION of a program that firmware starts.
func Image(what string, m *pe.Image) (Event, error) {
	d2, err := m.Authenticode(sha256.New())
	if err != nil {
		return Event{}, err
	}
	d3, err := m.Authenticode(sha512.New384())
	if err != nil {
		return Event{}, err
	}
	return Event{What: what, SHA256: [32]byte(d2), SHA384: [48]byte(d3)}, nil
}

// GUIDs of UEFI variables (UEFI 2.10, sections 3.3 and 32.6.1, and shim's), as
// they stand in text.
const (
	GlobalVariable = "8be4df61-93ca-11d2-aa0d-00e098032b8c" // SecureBoot, PK, KEK, BootOrder, Boot####
	ImageSecurity  = "d719b2cb-3d3a-4596-a3bc-dad00e67656f" // db, dbx
)

// Variable is EV_EFI_VARIABLE_DRIVER_CONFIG or EV_EFI_VARIABLE_AUTHORITY: a
// UEFI_VARIABLE_DATA (PFP 1.06, section 10.2.6), GUID ‖ length of the name in
// characters [8] ‖ length of the contents [8] ‖ name in UTF-16 ‖ contents. A
// variable that isn't set has no contents.
func Variable(guid, name string, contents []byte) (Event, error) {
	g, err := GUID(guid)
	if err != nil {
		return Event{}, err
	}
	n := utf16.Encode([]rune(name))
	b := append([]byte(nil), g[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(n)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(contents)))
	for _, c := range n {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return Data("variable "+name, append(b, contents...)), nil
}

// GUID returns the 16 bytes of a GUID as UEFI has it in memory: the first three
// parts are little-endian.
func GUID(text string) (g [16]byte, err error) {
	bad := errors.New("a GUID is 32 hex digits, as 8-4-4-4-12")
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return g, bad
	}
	b, err := hex.DecodeString(text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:])
	if err != nil {
		return g, bad
	}
	copy(g[:], b)
	g[0], g[1], g[2], g[3] = b[3], b[2], b[1], b[0]
	g[4], g[5], g[6], g[7] = b[5], b[4], b[7], b[6]
	return g, nil
}

// UTF16 returns text as UEFI passes it to programs, without a zero at the end.
func UTF16(text string) []byte {
	var b []byte
	for _, c := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// LoadOptions is what Linux measures of its command line when firmware starts it
// (drivers/firmware/efi/libstub, "LOADED_IMAGE::LoadOptions"): UTF-16 with a zero
// at the end.
func LoadOptions(cmdline string) Event {
	return Data("LOADED_IMAGE::LoadOptions", append(UTF16(cmdline), 0, 0))
}

// TPM registers (UAPI Group, "Linux TPM PCR Registry").
const (
	PCRBootManager   = 4  // programs that firmware starts
	PCRSecureBoot    = 7  // its keys
	PCRGrub          = 8  // unused here
	PCRKernelOptions = 9  // command line and initial RAM disk, by Linux
	PCRUnifiedImage  = 11 // parts of a unified kernel image, by systemd-stub
	PCROverrides     = 12 // command line and credentials from outside the image, by systemd-stub
)

// unified are the sections of a unified kernel image in the order in which
// systemd-stub measures them, and the version from which on it does (systemd,
// src/fundamental/uki.h). .pcrsig is a signature of what comes out, so it isn't
// measured.
var unified = [...]struct {
	name  string
	since int
}{
	{".linux", 252}, {".osrel", 252}, {".cmdline", 252}, {".initrd", 252}, {".ucode", 256}, {".splash", 252}, {".dtb", 252},
	{".uname", 254}, {".sbat", 254}, {".pcrpkey", 252},
}

// choices are sections of which systemd-stub takes one of several when it starts,
// by the hardware or by the command line, so that what it measures isn't known
// before.
var choices = [...]string{".profile", ".dtbauto", ".hwids", ".efifw"}

// stub returns the version of systemd-stub that an image was made with, which it
// says in a section of its own.
func stub(m *pe.Image) (int, error) {
	unknown := errors.New("the image doesn't say which systemd-stub it was made with, so what it measures isn't known: list the events instead")
	s, ok, err := m.Section(".sdmagic")
	if err != nil {
		return 0, err
	}
	if !ok || s.Virtual > 256 {
		return 0, unknown
	}
	r, err := s.Reader()
	if err != nil {
		return 0, err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	text, ok := strings.CutPrefix(string(b), "#### LoaderInfo: systemd-stub ")
	if !ok || len(text) < 4 || text[3] >= '0' && text[3] <= '9' {
		return 0, unknown
	}
	v, err := strconv.Atoi(text[:3])
	if err != nil {
		return 0, unknown
	}
	if v < 252 || v == 253 {
		return 0, errors.New("the image was made with systemd-stub " + text[:3] + ": use 252, or 254 or newer")
	}
	return v, nil
}

// UnifiedImage returns what systemd-stub measures of a unified kernel image: of
// each section its name with a zero byte, and what it holds.
func UnifiedImage(m *pe.Image) ([]Event, error) {
	for _, name := range choices {
		if _, ok, _ := m.Section(name); ok { // two are worse than one
			return nil, errors.New("the unified kernel image has a section " + name + ", of which its start chooses, so what it measures can't be told before")
		}
	}
	if _, ok, _ := m.Section(".linux"); !ok { // two are found below
		return nil, errNotUnified
	}
	version, err := stub(m)
	if err != nil {
		return nil, err
	}
	var out []Event
	for _, u := range unified {
		s, ok, err := m.Section(u.name)
		if err != nil {
			return nil, err
		}
		if !ok || version < u.since {
			continue
		}
		contents, err := Stream(u.name, func(w io.Writer) error { _, err := s.WriteTo(w); return err })
		if err != nil {
			return nil, err
		}
		out = append(out, Data("name of "+u.name, append([]byte(u.name), 0)), contents)
	}
	return out, nil
}

var errNotUnified = errors.New("the image doesn't have one section .linux: it isn't a unified kernel image")

// maxCmdline is the most bytes that a command line in an image may have; Linux
// takes 2,048 on x86.
const maxCmdline = 16 << 10

// UnifiedCmdline returns the command line that systemd-stub passes on: the section
// .cmdline without white space around it. Control characters inside are refused,
// since versions of the stub differ in what becomes of them.
func UnifiedCmdline(m *pe.Image) (string, error) {
	s, ok, err := m.Section(".cmdline")
	if err != nil || !ok {
		return "", err
	}
	if s.Virtual > maxCmdline {
		return "", errors.New("the section .cmdline is longer than 16 KiB")
	}
	r, err := s.Reader()
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	for len(b) > 0 && (b[len(b)-1] == 0 || b[len(b)-1] == '\n' || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return "", errors.New("the section .cmdline holds something else than printable ASCII")
		}
	}
	return string(b), nil
}

// Inner returns the kernel inside a unified kernel image.
func Inner(m *pe.Image) (*pe.Image, error) {
	s, ok, err := m.Section(".linux")
	if err != nil || !ok {
		return nil, errNotUnified
	}
	r, err := s.Reader()
	if err != nil {
		return nil, err
	}
	return pe.Parse(r, r.Size())
}

// KernelOptions returns what Linux measures of a unified kernel image: its command
// line, which it must have, and, if there is one, its initial RAM disk.
func KernelOptions(m *pe.Image) ([]Event, error) {
	cmdline, err := UnifiedCmdline(m)
	if err != nil {
		return nil, err
	}
	if cmdline == "" {
		return nil, errors.New("the image has no command line of its own, so another could be given to it: put one in, or list the events instead")
	}
	out := []Event{LoadOptions(cmdline)}
	s, ok, err := m.Section(".initrd")
	if err != nil || !ok {
		return out, err
	}
	if _, ucode, _ := m.Section(".ucode"); ucode {
		return nil, errors.New("the image has .ucode beside .initrd, and what Linux gets of both depends on the stub: list the events instead")
	}
	e, err := Stream("Linux initrd", func(w io.Writer) error { _, err := s.WriteTo(w); return err })
	return append(out, e), err
}
