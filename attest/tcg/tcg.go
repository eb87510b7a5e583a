// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tcg reads the log of what a machine measured while it started: the
// crypto-agile event log of the TCG PC Client Platform Firmware Profile (PFP
// below), which firmware keeps for a TPM's registers and, in the same form, for
// a confidential machine's (UEFI 2.10, section 38: "CCEL").
//
// A log proves nothing by itself. Whoever owns the machine can write any. It
// counts for what follows from two comparisons: its digests, hashed one after
// another, give the registers that the hardware signed ([Log.Replay]), and an
// event's data hashes to the event's digest ([Event.Measured]). Data that no
// digest covers, such as the name of a file whose contents were measured, is the
// log's word only, and nobody may believe it:
//
//	l, err := tcg.Parse(log)
//	registers, err := l.Replay(tcg.SHA384, nil)
//	// compare registers with the signed ones, then
//	data, covered, ok := l.Events[i].Measured(tcg.SHA384)
//	// covered && !ok: somebody changed the data; !covered: look at the digest only
package tcg

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"strconv"
)

// MaxSize is the most bytes that a log may have. Logs of real machines have
// 15 to 60 KB.
const MaxSize = 512 << 10

// Algorithms of digests (TCG Algorithm Registry, table 3) that [Log.Replay] and
// [Event.Measured] know. Logs may have digests of others beside them.
const (
	SHA1   = 0x0004 // named so that its length is known; never replayed
	SHA256 = 0x000b
	SHA384 = 0x000c
	SHA512 = 0x000d
	SM3    = 0x0012
)

// Types of events (PFP 1.06, section 10.4.1; the ones with digests of their data
// and those that matter to who reads the log).
const (
	EvNoAction             = 0x00000003 // says something, extends nothing
	EvSeparator            = 0x00000004
	EvAction               = 0x00000005
	EvCRTMVersion          = 0x00000008
	EvIPL                  = 0x0000000d // boot loaders use it for all they measure
	EvNonhostInfo          = 0x00000011
	EvVariableDriverConfig = 0x80000001
	EvVariableBoot         = 0x80000002
	EvBootServices         = 0x80000003 // an image that was started; the digest is of the image
	EvGPT                  = 0x80000006
	EvEFIAction            = 0x80000007
	EvVariableBoot2        = 0x8000000c
	EvVariableAuthority    = 0x800000e0
)

// Digest is one digest of an event.
type Digest struct {
	Alg   uint16
	Value []byte
}

// Event is one measurement. Its slices are parts of the log that was parsed.
type Event struct {
	Register int // the register as the log counts them: a TPM's PCR, or 1 + n for RTMR n
	Type     uint32
	Digests  []Digest // one for each of the log's algorithms
	Data     []byte   // not to be believed unless [Event.Measured] says so
}

// Log is a parsed log without its first event, which only describes the form.
type Log struct {
	Algorithms []uint16 // of which every event has a digest
	Events     []Event
}

const (
	maxAlgorithms = 8
	maxDigest     = 64  // bytes
	maxRegister   = 255 // a TPM has 24, a TDX machine 5
)

// reader takes little-endian pieces off a log. After the first piece that isn't
// there it is broken and gives zeros and nil.
type reader struct {
	b      []byte
	broken bool
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.broken, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

var errCut = errors.New("the log is cut off in the middle of an event")

// form is what a log's first event says of the others.
type form struct {
	n     int
	algs  [maxAlgorithms]uint16
	sizes [maxAlgorithms]uint16
}

// size returns the digest size of an algorithm, or 0 if it isn't in the log.
func (f *form) size(alg uint16) uint16 {
	for i := range f.n {
		if f.algs[i] == alg {
			return f.sizes[i]
		}
	}
	return 0
}

// knownSize returns the digest size of the algorithms that have a name here,
// so that a log can't say that SHA-384 has four bytes; 0 of others.
func knownSize(alg uint16) uint16 {
	switch alg {
	case SHA1:
		return 20
	case SHA256, SM3:
		return 32
	case SHA384:
		return 48
	case SHA512:
		return 64
	}
	return 0
}

// header reads the first event: a TCG_PCClientPCREvent in the old form whose
// data is a TCG_EfiSpecIDEventStruct (PFP, section 10.4.5.1). A log that begins
// otherwise is of the old kind with SHA-1 digests only, and is refused.
func header(r *reader) (f form, err error) {
	r.u32() // register: 0, or 1 in CCEL; nothing is extended
	kind := r.u32()
	digest := r.bytes(20)
	body := reader{b: r.bytes(r.u32())}
	if r.broken {
		return f, errCut
	}
	if kind != EvNoAction || !zero(digest) || string(body.bytes(16)) != "Spec ID Event03\x00" {
		return f, errors.New("the log doesn't begin as one with modern digests does")
	}
	body.u32() // platform class
	if version := body.u16(); version != 0x0200 {
		return f, errors.New("the log is of another version than 2.0 of its form")
	}
	body.u16() // errata, size of a UINTN
	n := body.u32()
	if n == 0 || n > maxAlgorithms {
		return f, errors.New("the log doesn't name 1 to " + strconv.Itoa(maxAlgorithms) + " kinds of digest")
	}
	for range n {
		alg, size := body.u16(), body.u16()
		known := knownSize(alg)
		if size == 0 || size > maxDigest || known != 0 && size != known || f.size(alg) != 0 {
			return f, errors.New("the log's list of digests is not valid")
		}
		f.algs[f.n], f.sizes[f.n] = alg, size
		f.n++
	}
	body.bytes(uint32(body.u8())) // vendor info
	if body.broken || len(body.b) != 0 {
		return f, errors.New("the log's first event has another length than it says")
	}
	return f, nil
}

// event reads one TCG_PCR_EVENT2 (PFP, section 10.2.2).
func event(r *reader, f *form) (Event, error) {
	register := r.u32()
	e := Event{Type: r.u32()}
	if n := r.u32(); r.broken {
		return e, errCut
	} else if n != uint32(f.n) {
		return e, errors.New("an event has not one digest of each kind")
	}
	// The profile has some events without action name the register 0xffffffff.
	if register > maxRegister && e.Type != EvNoAction {
		return e, errors.New("an event names a register that no machine has")
	}
	e.Register = int(int32(register))
	e.Digests = make([]Digest, 0, f.n)
	for range f.n {
		alg := r.u16()
		size := f.size(alg)
		if r.broken {
			return e, errCut
		}
		if size == 0 || e.Digest(alg) != nil {
			return e, errors.New("an event has not one digest of each kind")
		}
		e.Digests = append(e.Digests, Digest{alg, r.bytes(uint32(size))})
	}
	e.Data = r.bytes(r.u32())
	if r.broken {
		return e, errCut
	}
	return e, nil
}

// Parse reads a whole log. It refuses logs longer than [MaxSize], logs of the
// old kind with SHA-1 only, events that don't have one digest of each kind that
// the log names, and anything after the last event: what firmware leaves in the
// rest of the area is cut off by [Trim] where the log is taken.
func Parse(log []byte) (*Log, error) {
	if len(log) > MaxSize {
		return nil, errors.New("the log is longer than " + strconv.Itoa(MaxSize) + " bytes")
	}
	r := reader{b: log}
	f, err := header(&r)
	if err != nil {
		return nil, err
	}
	l := &Log{Algorithms: append([]uint16(nil), f.algs[:f.n]...)}
	for len(r.b) > 0 {
		e, err := event(&r, &f)
		if err != nil {
			return nil, err
		}
		l.Events = append(l.Events, e)
	}
	return l, nil
}

// Trim returns the log at the beginning of an area of memory whose rest
// firmware filled with zeros or with ones, as the kernel shows it in
// /sys/firmware/acpi/tables/data/CCEL. An area without such a rest is returned
// as it is.
func Trim(area []byte) ([]byte, error) {
	r := reader{b: area}
	f, err := header(&r)
	if err != nil {
		return nil, err
	}
	for len(r.b) > 0 {
		if fill := r.b[0]; (fill == 0 || fill == 0xff) && all(r.b, fill) {
			break
		}
		if _, err := event(&r, &f); err != nil {
			return nil, err
		}
	}
	return area[:len(area)-len(r.b)], nil
}

func all(b []byte, want byte) bool {
	for _, c := range b {
		if c != want {
			return false
		}
	}
	return true
}

func zero(b []byte) bool { return all(b, 0) }

// hash returns the digest of the parts, or nil for an algorithm that isn't
// replayed.
func hash(alg uint16, parts ...[]byte) []byte {
	data := bytes.Join(parts, nil)
	switch alg {
	case SHA256:
		d := sha256.Sum256(data)
		return d[:]
	case SHA384:
		d := sha512.Sum384(data)
		return d[:]
	case SHA512:
		d := sha512.Sum512(data)
		return d[:]
	}
	return nil
}

// Replay extends registers as the log's events say, and returns those that any
// event extended: register' = hash(register ‖ digest). initial gives a
// register's value at the start; where it is nil or returns nil that is zeros.
// alg is one of [SHA256], [SHA384], [SHA512] and must be in the log.
func (l *Log) Replay(alg uint16, initial func(register int) []byte) (map[int][]byte, error) {
	size := int(knownSize(alg))
	if hash(alg) == nil {
		return nil, errors.New("this kind of digest is not replayed")
	}
	listed := false
	for _, a := range l.Algorithms {
		listed = listed || a == alg
	}
	if !listed {
		return nil, errors.New("the log has no digests of the kind that the hardware signed")
	}
	registers := map[int][]byte{}
	for i := range l.Events {
		e := &l.Events[i]
		if !e.Extends() {
			continue
		}
		old := registers[e.Register]
		if old == nil && initial != nil {
			old = initial(e.Register)
		}
		if old == nil {
			old = make([]byte, size)
		}
		if len(old) != size {
			return nil, errors.New("a register's first value has a wrong length")
		}
		registers[e.Register] = Extend(alg, old, e.Digest(alg))
	}
	return registers, nil
}

// Extend returns what a register holds after a digest went into it: the hash of
// both. nil for an algorithm that isn't replayed.
func Extend(alg uint16, register, digest []byte) []byte { return hash(alg, register, digest) }

// Extends reports whether the event changes a register. Those that don't
// are in no digest at all, so that anybody can add or change them.
func (e *Event) Extends() bool { return e.Type != EvNoAction }

// Digest returns the event's digest of a kind, or nil.
func (e *Event) Digest(alg uint16) []byte {
	for i := range e.Digests {
		if e.Digests[i].Alg == alg {
			return e.Digests[i].Value
		}
	}
	return nil
}

// DataMatches is [Event.Measured] without the data.
func (e *Event) DataMatches(alg uint16) (covered, ok bool) {
	_, covered, ok = e.Measured(alg)
	return covered, ok
}

// Measured returns the part of the event's data that the digest of kind alg is
// the hash of. What of the data lies outside that part is as unproved as the
// data of an event that isn't covered.
//
// Whether a digest covers data depends on the type of the event (PFP, section
// 10.4.1) and on who wrote it:
//
//   - Separators, actions, UEFI variables and the partition table are hashed as
//     they stand in the log. Variables of the boot order may be hashed without
//     their head, and an old shim logs one byte more than it hashes. If none of
//     these fits, covered is true and ok is false: the log was tampered with.
//   - The version of the firmware's core, host information, and what boot loaders
//     measure as EV_IPL (command lines, but files too) may or may not be hashed as
//     they stand; GRUB logs a prefix and a zero byte around a command. If nothing
//     fits, the digest is of something else: covered is false.
//   - The digest of all else (images, tables, blobs) is of something that isn't in
//     the log, and nothing is in any digest of an event without action.
func (e *Event) Measured(alg uint16) (data []byte, covered, ok bool) {
	strict := false
	switch e.Type {
	case EvSeparator, EvAction, EvEFIAction, EvVariableDriverConfig, EvVariableBoot2, EvGPT,
		EvVariableBoot, EvVariableAuthority:
		strict = true
	case EvCRTMVersion, EvNonhostInfo, EvIPL:
	default:
		return nil, false, false
	}
	digest := e.Digest(alg)
	fits := func(part []byte) bool {
		h := hash(alg, part)
		return h != nil && bytes.Equal(h, digest)
	}
	if fits(e.Data) {
		return e.Data, true, true
	}
	switch e.Type {
	case EvVariableBoot:
		if v := variable(e.Data); v != nil && fits(v) {
			return v, true, true
		}
	case EvVariableAuthority:
		if n := len(e.Data); n > 0 && fits(e.Data[:n-1]) {
			return e.Data[:n-1], true, true
		}
	case EvIPL:
		if c := command(e.Data); c != nil && fits(c) {
			return c, true, true
		}
	}
	return nil, strict, false
}

// variable returns the contents of a UEFI_VARIABLE_DATA (PFP, section 10.2.6):
// GUID [16] ‖ length of the name in characters [8] ‖ length of the contents [8] ‖
// name in UTF-16 ‖ contents. nil if data is no such thing.
func variable(data []byte) []byte {
	if len(data) < 32 {
		return nil
	}
	name, n := binary.LittleEndian.Uint64(data[16:]), binary.LittleEndian.Uint64(data[24:])
	rest := data[32:]
	if name > uint64(len(rest))/2 || n != uint64(len(rest))-2*name {
		return nil
	}
	return rest[2*name:]
}

// command returns what GRUB hashed of a command or command line that it
// logged: "grub_cmd: " or "kernel_cmdline: " before it and a zero byte after it
// are not hashed. nil if data is no such thing.
func command(data []byte) []byte {
	for _, prefix := range [...]string{"grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_cmd ", "grub_kernel_cmdline ", "grub_module_cmdline "} {
		if rest, ok := bytes.CutPrefix(data, []byte(prefix)); ok {
			if c, ok := bytes.CutSuffix(rest, []byte{0}); ok {
				return c
			}
		}
	}
	return nil
}
