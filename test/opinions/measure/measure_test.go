// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package measure compares what release/measure computes with what real machines
// recorded: logs of measured boot in go-eventlog and go-tdx-guest, of a machine
// that QEMU started with a kernel and of machines of Google's cloud.
package measure

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
