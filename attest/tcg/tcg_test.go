// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tcg_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/attest/tcg/tcgtest"
)

// boot is a log with an event of each kind that matters.
func boot(algs ...uint16) *tcgtest.Log {
	return tcgtest.New(algs...).
		AddMeasured(-1, tcg.EvNoAction, []byte("SP800-155 Event3"), nil).
		Add(1, tcg.EvVariableDriverConfig, tcgtest.Variable("SecureBoot", []byte{1})).
		Add(1, tcg.EvSeparator, make([]byte, 4)).
		AddMeasured(2, tcg.EvBootServices, []byte("a path"), []byte("an image")).
		AddMeasured(3, tcg.EvIPL, []byte("kernel_cmdline: quiet\x00"), []byte("quiet"))
}

func TestParse(t *testing.T) {
	l, err := tcg.Parse(boot(tcg.SHA1, tcg.SHA256, tcg.SHA384).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Algorithms) != 3 || l.Algorithms[2] != tcg.SHA384 || len(l.Events) != 5 {
		t.Fatalf("%d algorithms %v, %d events", len(l.Algorithms), l.Algorithms, len(l.Events))
	}
	e := l.Events[4]
	if e.Register != 3 || e.Type != tcg.EvIPL || string(e.Data) != "kernel_cmdline: quiet\x00" ||
		!bytes.Equal(e.Digest(tcg.SHA256), tcgtest.Sum(tcg.SHA256, []byte("quiet"))) {
		t.Errorf("last event %+v", e)
	}
	if e.Digest(tcg.SHA512) != nil {
		t.Error("a digest that isn't there was found")
	}
	if l.Events[0].Register != -1 || l.Events[0].Extends() || !e.Extends() {
		t.Errorf("first event %+v", l.Events[0])
	}
}

// TestParseTakesDigestsInAnyOrder: the profile lists algorithms and doesn't
// order the digests of an event.
func TestParseTakesDigestsInAnyOrder(t *testing.T) {
	log := tcgtest.New(tcg.SHA256, tcg.SHA384).Bytes()
	log = binary.LittleEndian.AppendUint32(log, 5)
	log = binary.LittleEndian.AppendUint32(log, tcg.EvSeparator)
	log = binary.LittleEndian.AppendUint32(log, 2)
	for _, a := range []uint16{tcg.SHA384, tcg.SHA256} {
		log = binary.LittleEndian.AppendUint16(log, a)
		log = append(log, tcgtest.Sum(a, []byte("x"))...)
	}
	log = append(log, 1, 0, 0, 0, 'x')
	l, err := tcg.Parse(log)
	if err != nil {
		t.Fatal(err)
	}
	if covered, ok := l.Events[0].DataMatches(tcg.SHA256); !covered || !ok {
		t.Error("the digest was taken for another kind's")
	}
}

// specAt is where the body of the first event begins.
const specAt = 32

func TestParseRefuses(t *testing.T) {
	good := tcgtest.New(tcg.SHA256, tcg.SHA384).Bytes()
	event := func(register, kind, n uint32, digests []byte, size uint32, data string) []byte {
		b := bytes.Clone(good)
		for _, v := range []uint32{register, kind, n} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		b = append(b, digests...)
		b = binary.LittleEndian.AppendUint32(b, size)
		return append(b, data...)
	}
	digest := func(alg uint16, n int) []byte {
		return append(binary.LittleEndian.AppendUint16(nil, alg), make([]byte, n)...)
	}
	both := append(digest(tcg.SHA256, 32), digest(tcg.SHA384, 48)...)
	set := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	spec := func(n uint32, vendor string, algs ...uint16) []byte {
		body := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
		body = binary.LittleEndian.AppendUint32(body, n)
		for _, a := range algs {
			body = binary.LittleEndian.AppendUint16(body, a)
		}
		body = append(body, vendor...)
		b := binary.LittleEndian.AppendUint32(append([]byte{0, 0, 0, 0, 3, 0, 0, 0}, make([]byte, 20)...), uint32(len(body)))
		return append(b, body...)
	}
	for name, ok := range map[string][]byte{
		"one event":              event(255, 4, 2, both, 4, "\x00\x00\x00\x00"),
		"no data":                event(1, 4, 2, both, 0, ""),
		"action register":        event(0xffffffff, tcg.EvNoAction, 2, both, 0, ""),
		"register of first":      set(0, 1),
		"vendor info":            spec(1, "\x03abc", tcg.SHA384, 48),
		"unknown algorithm":      spec(1, "\x00", 0x27, 64),
		"eight":                  spec(8, "\x00", 1, 1, 2, 2, 3, 3, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9),
		"SM3 and SHA-1, SHA-512": spec(3, "\x00", tcg.SM3, 32, tcg.SHA1, 20, tcg.SHA512, 64),
	} {
		if _, err := tcg.Parse(ok); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const first, cut, digests, list = "begin", "cut off", "one digest of each", "list of digests"
	for name, c := range map[string]struct {
		log  []byte
		want string
	}{
		"nothing":                 {nil, cut},
		"old form":                {set(specAt, []byte("Spec ID Event02")...), first},
		"version 2.1":             {set(specAt+20, 1), "version"},
		"version 3.0":             {set(specAt+21, 3), "version"},
		"not a no-action":         {set(4, 4), first},
		"a digest in the first":   {set(8+19, 1), first},
		"first cut":               {good[:len(good)-1], cut},
		"first shorter":           {set(28, byte(len(good)-specAt-1)), "another length"},
		"first longer":            {append(set(28, byte(len(good)-specAt+1)), 0), "another length"},
		"no algorithm":            {spec(0, "\x00"), "1 to 8"},
		"nine algorithms":         {spec(9, "\x00", 1, 1, 2, 2, 3, 3, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 1), "1 to 8"},
		"huge count":              {spec(0xffffffff, "\x00"), "1 to 8"},
		"same algorithm twice":    {spec(2, "\x00", 1, 4, 1, 4), list},
		"empty digest":            {spec(1, "\x00", 1, 0), list},
		"long digest":             {spec(1, "\x00", 1, 65), list},
		"SHA-1 of another size":   {spec(1, "\x00", tcg.SHA1, 32), list},
		"SHA-256 of another size": {spec(1, "\x00", tcg.SHA256, 20), list},
		"SM3 of another size":     {spec(1, "\x00", tcg.SM3, 20), list},
		"SHA-384 of another size": {spec(1, "\x00", tcg.SHA384, 32), list},
		"SHA-512 of another size": {spec(1, "\x00", tcg.SHA512, 48), list},
		"list cut":                {spec(2, "", 1, 4), list},
		"vendor info cut":         {spec(1, "\x03ab", 1, 4), "another length"},
		"head cut":                {append(bytes.Clone(good), 1, 0, 0, 0), cut},
		"count cut":               {append(bytes.Clone(good), 1, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0), cut},
		"fewer digests":           {event(1, 4, 1, digest(tcg.SHA256, 32), 0, ""), digests},
		"more digests":            {event(1, 4, 3, append(both, digest(tcg.SHA256, 32)...), 0, ""), digests},
		"one digest twice":        {event(1, 4, 2, append(digest(tcg.SHA256, 32), digest(tcg.SHA256, 32)...), 0, ""), digests},
		"a digest not listed":     {event(1, 4, 2, append(digest(tcg.SHA256, 32), digest(tcg.SHA512, 64)...), 0, ""), digests},
		"a digest of no length":   {event(1, 4, 2, append(digest(tcg.SHA256, 32), digest(0x99, 0)...), 0, ""), digests},
		"algorithm cut":           {event(1, 4, 2, nil, 0, "")[:len(good)+13], cut},
		"digest cut":              {event(1, 4, 2, digest(tcg.SHA256, 7), 0, "")[:len(good)+20], cut},
		"data cut":                {event(1, 4, 2, both, 5, "1234"), cut},
		"huge data":               {event(1, 4, 2, both, 0xffffffff, "1234"), cut},
		"size cut":                {event(1, 4, 2, both, 0, "")[:len(good)+12+len(both)+3], cut},
		"strange register":        {event(256, 4, 2, both, 0, ""), "register"},
		"trailing byte":           {append(event(1, 4, 2, both, 0, ""), 0), cut},
		"padding":                 {append(event(1, 4, 2, both, 0, ""), bytes.Repeat([]byte{0xff}, 64)...), digests},
		"very long":               {make([]byte, tcg.MaxSize+1), "longer than"},
	} {
		_, err := tcg.Parse(c.log)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, c.want)
		}
	}
	// The longest log there may be.
	long := event(1, 4, 2, both, 0, "")
	n := tcg.MaxSize - len(long)
	long = event(1, 4, 2, both, uint32(n), strings.Repeat("x", n))
	if _, err := tcg.Parse(long); err != nil || len(long) != tcg.MaxSize {
		t.Errorf("log of %d bytes: %v", len(long), err)
	}
}

func TestReplay(t *testing.T) {
	l, err := tcg.Parse(tcgtest.New(tcg.SHA256, tcg.SHA384).
		Add(1, tcg.EvSeparator, []byte("a")).
		Add(2, tcg.EvIPL, []byte("c")).
		Add(3, tcg.EvNoAction, []byte("nothing")).
		Add(1, tcg.EvAction, []byte("b")).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	step := func(old []byte, data string) []byte {
		d := sha512.Sum384([]byte(data))
		out := sha512.Sum384(append(bytes.Clone(old), d[:]...))
		return out[:]
	}
	zero := make([]byte, 48)
	got, err := l.Replay(tcg.SHA384, nil)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d registers, %v", len(got), err)
	}
	if !bytes.Equal(got[1], step(step(zero, "a"), "b")) || !bytes.Equal(got[2], step(zero, "c")) {
		t.Errorf("registers %x", got)
	}
	started := bytes.Repeat([]byte{0xff}, 48)
	got, err = l.Replay(tcg.SHA384, func(r int) []byte {
		if r == 2 {
			return started
		}
		return nil
	})
	if err != nil || !bytes.Equal(got[2], step(started, "c")) || !bytes.Equal(got[1], step(step(zero, "a"), "b")) {
		t.Errorf("with a first value: %x, %v", got, err)
	}
	if got, err = l.Replay(tcg.SHA256, nil); err != nil || len(got[1]) != 32 {
		t.Errorf("SHA-256: %x, %v", got, err)
	}
	for name, f := range map[string]func() (map[int][]byte, error){
		"not in the log":     func() (map[int][]byte, error) { return l.Replay(tcg.SHA512, nil) },
		"not replayed":       func() (map[int][]byte, error) { return l.Replay(tcg.SHA1, nil) },
		"unknown":            func() (map[int][]byte, error) { return l.Replay(0, nil) },
		"wrong first length": func() (map[int][]byte, error) { return l.Replay(tcg.SHA384, func(int) []byte { return zero[1:] }) },
	} {
		if got, err := f(); err == nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	old, err := tcg.Parse(boot(tcg.SHA1).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := old.Replay(tcg.SHA1, nil); err == nil || got != nil {
		t.Errorf("SHA-1: %v, %v", got, err)
	}
	l512, err := tcg.Parse(boot(tcg.SHA512).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l512.Replay(tcg.SHA512, nil); err != nil || len(got[1]) != 64 || len(got) != 3 {
		t.Errorf("SHA-512: %d registers, %v", len(got), err)
	}
}

func TestMeasured(t *testing.T) {
	v := tcgtest.Variable("BootOrder", []byte{3, 0})
	badVariable := bytes.Clone(v)
	badVariable[24]++ // says that its contents are longer
	hugeName := bytes.Clone(v)
	hugeName[23] = 0x80 // twice that is again the length of the name
	for _, c := range []struct {
		name           string
		kind           uint32
		data, measured string
		want           string
		covered, ok    bool
	}{
		{"separator", tcg.EvSeparator, "\x00\x00\x00\x00", "\x00\x00\x00\x00", "\x00\x00\x00\x00", true, true},
		{"separator changed", tcg.EvSeparator, "\x00\x00\x00\x00", "\xff\xff\xff\xff", "", true, false},
		{"action", tcg.EvAction, "go", "go", "go", true, true},
		{"action changed", tcg.EvAction, "go", "no", "", true, false},
		{"UEFI action changed", tcg.EvEFIAction, "go", "no", "", true, false},
		{"driver config changed", tcg.EvVariableDriverConfig, "go", "no", "", true, false},
		{"driver config has no variant", tcg.EvVariableDriverConfig, string(v), "\x03\x00", "", true, false},
		{"GPT changed", tcg.EvGPT, "go", "no", "", true, false},
		{"boot variable", tcg.EvVariableBoot, string(v), string(v), string(v), true, true},
		{"boot variable's contents", tcg.EvVariableBoot, string(v), "\x03\x00", "\x03\x00", true, true},
		{"boot variable changed", tcg.EvVariableBoot, string(v), "\x04\x00", "", true, false},
		{"boot variable of another length", tcg.EvVariableBoot, string(badVariable), "\x03\x00", "", true, false},
		{"boot variable with a huge name", tcg.EvVariableBoot, string(hugeName), "\x03\x00", "", true, false},
		{"boot variable cut", tcg.EvVariableBoot, string(v[:31]), "\x03\x00", "", true, false},
		{"boot variable cut, nothing measured", tcg.EvVariableBoot, string(v[:31]), "", "", true, false},
		{"a file's name, nothing measured", tcg.EvIPL, "grub_cmd", "", "", false, false},
		{"empty variable", tcg.EvVariableBoot, string(make([]byte, 32)), "", "", true, true},
		{"boot variable 2 has no variant", tcg.EvVariableBoot2, string(v), "\x03\x00", "", true, false},
		{"authority", tcg.EvVariableAuthority, "cert", "cert", "cert", true, true},
		{"authority of an old shim", tcg.EvVariableAuthority, "cert?", "cert", "cert", true, true},
		{"authority changed", tcg.EvVariableAuthority, "cert?!", "cert", "", true, false},
		{"empty authority", tcg.EvVariableAuthority, "", "cert", "", true, false},
		{"driver config with a byte more", tcg.EvVariableDriverConfig, "cert?", "cert", "", true, false},
		{"version", tcg.EvCRTMVersion, "1.2", "1.2", "1.2", true, true},
		{"version measured otherwise", tcg.EvCRTMVersion, "1.2", "core", "", false, false},
		{"host", tcg.EvNonhostInfo, "1.2", "1.2", "1.2", true, true},
		{"host measured otherwise", tcg.EvNonhostInfo, "1.2", "core", "", false, false},
		{"loader", tcg.EvIPL, "quiet", "quiet", "quiet", true, true},
		{"loader's file", tcg.EvIPL, "/vmlinuz\x00", "kernel", "", false, false},
		{"grub command", tcg.EvIPL, "grub_cmd: boot\x00", "boot", "boot", true, true},
		{"old grub command", tcg.EvIPL, "grub_cmd boot\x00", "boot", "boot", true, true},
		{"grub kernel", tcg.EvIPL, "kernel_cmdline: quiet\x00", "quiet", "quiet", true, true},
		{"old grub kernel", tcg.EvIPL, "grub_kernel_cmdline quiet\x00", "quiet", "quiet", true, true},
		{"grub module", tcg.EvIPL, "module_cmdline: quiet\x00", "quiet", "quiet", true, true},
		{"old grub module", tcg.EvIPL, "grub_module_cmdline quiet\x00", "quiet", "quiet", true, true},
		{"grub command changed", tcg.EvIPL, "grub_cmd: boot\x00", "halt", "", false, false},
		{"grub command without its end", tcg.EvIPL, "grub_cmd: boot", "boot", "", false, false},
		{"grub command with another end", tcg.EvIPL, "grub_cmd: boot1", "boot", "", false, false},
		{"grub's prefix alone", tcg.EvIPL, "grub_cmd: ", "", "", false, false},
		{"another prefix", tcg.EvIPL, "evil_cmd: boot\x00", "boot", "", false, false},
		{"image", tcg.EvBootServices, "path", "path", "", false, false},
		{"no action", tcg.EvNoAction, "path", "path", "", false, false},
	} {
		for _, alg := range []uint16{tcg.SHA256, tcg.SHA384, tcg.SHA512} {
			l, err := tcg.Parse(tcgtest.New(alg).AddMeasured(1, c.kind, []byte(c.data), []byte(c.measured)).Bytes())
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			data, covered, ok := l.Events[0].Measured(alg)
			if string(data) != c.want || covered != c.covered || ok != c.ok {
				t.Errorf("%s (%#x): %q, covered %v, ok %v", c.name, alg, data, covered, ok)
			}
			if covered2, ok2 := l.Events[0].DataMatches(alg); covered2 != covered || ok2 != ok {
				t.Errorf("%s: DataMatches says %v, %v", c.name, covered2, ok2)
			}
		}
	}
	// Neither an algorithm without a hash here nor one that isn't in the log ever fits.
	l, _ := tcg.Parse(tcgtest.New(tcg.SHA1).Add(1, tcg.EvSeparator, nil).Bytes())
	for _, alg := range []uint16{tcg.SHA1, tcg.SHA256, 0} {
		if covered, ok := l.Events[0].DataMatches(alg); !covered || ok {
			t.Errorf("algorithm %#x: covered %v, ok %v", alg, covered, ok)
		}
	}
}

func TestTrim(t *testing.T) {
	log := boot(tcg.SHA384).Bytes()
	for name, area := range map[string][]byte{
		"as it is": log,
		"zeros":    append(bytes.Clone(log), make([]byte, 1000)...),
		"ones":     append(bytes.Clone(log), bytes.Repeat([]byte{0xff}, 1000)...),
		"one zero": append(bytes.Clone(log), 0),
	} {
		got, err := tcg.Trim(area)
		if err != nil || !bytes.Equal(got, log) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(log), err)
		}
	}
	// An event of register 0 begins with a zero, and is none.
	zero := tcgtest.New(tcg.SHA384).Add(0, tcg.EvSeparator, make([]byte, 4)).Bytes()
	if got, err := tcg.Trim(append(bytes.Clone(zero), make([]byte, 9)...)); err != nil || !bytes.Equal(got, zero) {
		t.Errorf("register 0: %d of %d bytes, %v", len(got), len(zero), err)
	}
	for name, area := range map[string][]byte{
		"nothing":       nil,
		"another fill":  append(bytes.Clone(log), 7, 7, 7),
		"a mixed fill":  append(bytes.Clone(log), 0, 0, 1),
		"cut":           log[:len(log)-1],
		"not a log":     make([]byte, 100),
		"ones and more": append(bytes.Clone(log), 0xff, 0xff, 0),
	} {
		if got, err := tcg.Trim(area); err == nil || got != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(boot(tcg.SHA1, tcg.SHA256, tcg.SHA384).Bytes())
	f.Add(boot(tcg.SHA384).Bytes())
	f.Add(append(boot(tcg.SHA512).Bytes(), 0xff, 0xff))
	f.Add([]byte{0, 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, log []byte) {
		l, err := tcg.Parse(log)
		trimmed, terr := tcg.Trim(log)
		if err != nil {
			if terr == nil && len(trimmed) == len(log) && len(log) <= tcg.MaxSize {
				t.Errorf("Trim takes what Parse doesn't: %v", err)
			}
			return
		}
		if terr != nil || len(trimmed) != len(log) {
			t.Errorf("Trim cuts a log: %v", terr)
		}
		for _, alg := range l.Algorithms {
			l.Replay(alg, nil)
			for i := range l.Events {
				if data, covered, ok := l.Events[i].Measured(alg); ok && !covered || !ok && data != nil {
					t.Errorf("event %d: %q, covered %v, ok %v", i, data, covered, ok)
				}
			}
		}
	})
}
