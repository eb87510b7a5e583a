// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package measure compares what release/measure computes with what real machines
// recorded: logs of measured boot in go-eventlog and go-tdx-guest, of a machine
// that QEMU started with a kernel and of machines of Google's cloud.
package measure

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-tdx-guest/abi"
	pb "github.com/google/go-tdx-guest/proto/tdx"

	"github.com/sotto-chat/sotto/attest/tcg"
	"github.com/sotto-chat/sotto/release/measure/boot"
	"github.com/sotto-chat/sotto/release/measure/ovmf"
	"github.com/sotto-chat/sotto/release/measure/ovmf/ovmftest"
	"github.com/sotto-chat/sotto/release/measure/tdx"
)

// file returns a file of another module.
func file(t *testing.T, module, name string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parse returns a recorded log.
func parse(t *testing.T, area []byte) *tcg.Log {
	t.Helper()
	log, err := tcg.Trim(area)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tcg.Parse(log)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestDirectBoot: the log of a machine that QEMU started with a kernel and 8 GiB of
// memory, event for event. Of what isn't in the log (ACPI tables, the firmware's
// configuration volume, the kernel) its digests are taken; all else is computed.
func TestDirectBoot(t *testing.T) {
	l := parse(t, file(t, "github.com/google/go-eventlog", "testdata/eventlogs/ccel/CCEL_unpadded.data.bin"))
	// Its memory map is OVMF's. The configuration volume is the empty one of 528
	// KiB, whose digest is that of Debian's OVMF_VARS_4M.fd.
	fw, err := ovmf.Parse(ovmftest.Image(ovmftest.TDVF()))
	if err != nil {
		t.Fatal(err)
	}
	taken := func(what string, i int) boot.Event {
		return boot.Event{What: what, SHA384: [48]byte(l.Events[i].Digest(tcg.SHA384))}
	}
	start := tdx.Start{Memory: tdx.Memory{Size: 8 << 30}, Variables: tdx.NoKeys(true), ACPI: [3]boot.Event{taken("loader", 8), taken("rsdp", 9), taken("tables", 10)}}
	rtmr0, err := tdx.RTMR0(fw, start)
	if err != nil {
		t.Fatal(err)
	}
	rtmr0[1] = taken("configuration volume", 1)
	if got, want := hex.EncodeToString(rtmr0[1].SHA384[:]), "344bc51c980ba621aaa00da3ed7436f7d6e549197dfe699515dfa2c6583d95e6412af21c097d473155875ffd561d6790"; got != want {
		t.Errorf("configuration volume %s", got)
	}
	var list boot.List
	list.Add(0, rtmr0...)
	list.Add(0, boot.Separator()) // where this firmware puts it
	list.Add(1, taken("kernel", 11), boot.Action(boot.CallingApplication), boot.Action(boot.ExitBootServices), boot.Action(boot.ExitedBootServices))
	list.Add(2, boot.LoadOptions("root=/dev/vda1 rw console=hvc0"))
	same(t, l, list)
}

// same compares event by event, and the registers.
func same(t *testing.T, l *tcg.Log, list boot.List) {
	t.Helper()
	for r := range 3 {
		var recorded []string
		for i := range l.Events {
			if e := &l.Events[i]; e.Extends() && e.Register == r+1 {
				recorded = append(recorded, hex.EncodeToString(e.Digest(tcg.SHA384)))
			}
		}
		computed := list.Digests(boot.SHA384, r)
		for i := range max(len(recorded), len(computed)) {
			if i >= len(recorded) || i >= len(computed) || recorded[i] != computed[i] {
				t.Errorf("RTMR %d, event %d: computed %q, recorded %q", r, i, computed, recorded)
				break
			}
		}
	}
	want, err := l.Replay(tcg.SHA384, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := list.Replay(boot.SHA384)
	for r := range 3 {
		if !bytes.Equal(got[r], want[r+1]) {
			t.Errorf("RTMR %d: computed %x, recorded %x", r, got[r], want[r+1])
		}
	}
}

// TestQuote: a quote's registers, of a machine of Google's cloud that started from
// a disk. What is measured in known ways is computed: the boundaries and the
// actions of the firmware, variables from their contents, commands of GRUB; of what
// is on the disk the log's digests are taken.
func TestQuote(t *testing.T) {
	const module = "github.com/google/go-tdx-guest"
	quote, err := abi.QuoteToProto(file(t, module, "testing/testdata/ccel/cos-113-tdx-quote.dat"))
	if err != nil {
		t.Fatal(err)
	}
	l := parse(t, file(t, module, "testing/testdata/ccel/ccel_data.dat"))
	var list boot.List
	computed := 0
	for i := range l.Events {
		e := &l.Events[i]
		if !e.Extends() {
			continue
		}
		c, ok := compute(t, e)
		if ok {
			computed++
		} else {
			c.SHA384 = [48]byte(e.Digest(tcg.SHA384))
		}
		list.Add(e.Register-1, c)
	}
	same(t, l, list)
	got := list.Replay(boot.SHA384)
	for r, want := range quote.(*pb.QuoteV4).TdQuoteBody.Rtmrs {
		if v := got[r]; v != nil && !bytes.Equal(v, want) || v == nil && r < 3 {
			t.Errorf("RTMR %d: computed %x, the quote has %x", r, v, want)
		}
	}
	if computed < 25 {
		t.Errorf("%d of %d events were computed", computed, len(l.Events))
	}
}

// compute makes an event anew from what it is about, if that is known.
func compute(t *testing.T, e *tcg.Event) (boot.Event, bool) {
	t.Helper()
	switch e.Type {
	case tcg.EvSeparator:
		return boot.Separator(), bytes.Equal(e.Data, make([]byte, 4))
	case tcg.EvEFIAction:
		return boot.Action(string(e.Data)), true
	case tcg.EvVariableDriverConfig, tcg.EvVariableAuthority:
		// GUID ‖ characters of the name ‖ bytes of the contents ‖ name ‖ contents
		d := e.Data
		n, size := binary.LittleEndian.Uint64(d[16:]), binary.LittleEndian.Uint64(d[24:])
		if uint64(len(d)) != 32+2*n+size {
			return boot.Event{}, false // an old shim's
		}
		name := make([]uint16, n)
		for i := range name {
			name[i] = binary.LittleEndian.Uint16(d[32+2*i:])
		}
		guid := fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(d), binary.LittleEndian.Uint16(d[4:]), binary.LittleEndian.Uint16(d[6:]), d[8:10], d[10:16])
		c, err := boot.Variable(guid, string(utf16.Decode(name)), d[32+2*n:])
		if err != nil {
			t.Fatal(err)
		}
		return c, true
	case tcg.EvIPL:
		if command, ok := bytes.CutPrefix(e.Data, []byte("grub_cmd: ")); ok {
			return boot.Data("command", command[:len(command)-1]), true
		}
	}
	return boot.Event{}, false
}

// TestLogs: the same of TPMs, in SHA-256: logs of eleven more machines.
func TestLogs(t *testing.T) {
	const module, dir = "github.com/google/go-eventlog", "testdata/eventlogs/tpm/"
	kinds := map[uint32]int{}
	for _, name := range []string{
		"arch-linux-workstation.bin", "cos-101-amd-sev.bin", "cos-121-amd-sev.bin", "cos-125-intel-tdx-secure-boot.bin", "cos-85-amd-sev.bin",
		"cos-93-amd-sev.bin", "gdc-host.bin", "rhel8-uefi.bin", "ubuntu-1804-amd-sev.bin", "ubuntu-2404-amd-sevsnp.bin", "ubuntu-2404-intel-tdx.bin",
	} {
		l := parse(t, file(t, module, dir+name))
		for i := range l.Events {
			e := &l.Events[i]
			// GRUB's commands and shim's list may be logged otherwise than measured.
			if e.Type == tcg.EvIPL {
				continue
			}
			c, ok := compute(t, e)
			if !ok {
				continue
			}
			if got := e.Digest(tcg.SHA256); got != nil && !bytes.Equal(got, c.SHA256[:]) {
				t.Errorf("%s, event %d: computed %x, recorded %x", name, i, c.SHA256, got)
			}
			kinds[e.Type]++
		}
	}
	if len(kinds) != 4 || kinds[tcg.EvVariableDriverConfig] < 50 || kinds[tcg.EvVariableAuthority] < 10 {
		t.Errorf("too few events were computed: %v", kinds)
	}
}
