// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/release/measure/boot"
	"github.com/sotto-chat/sotto/release/measure/pe"
	"github.com/sotto-chat/sotto/release/measure/pe/petest"
)

func program(t testing.TB, b []byte) *pe.Image {
	t.Helper()
	m, err := pe.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestReal: digests that occur in logs of real machines (go-eventlog's
// testdata/eventlogs/ccel, SHA-384).
func TestReal(t *testing.T) {
	variable := func(guid, name string, contents []byte) boot.Event {
		e, err := boot.Variable(guid, name, contents)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, v := range []struct {
		e    boot.Event
		want string
	}{
		{boot.Separator(), "394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0"},
		{boot.Action(boot.CallingApplication), "77a0dab2312b4e1e57a84d865a21e5b2ee8d677a21012ada819d0a98988078d3d740f6346bfe0abaa938ca20439a8d71"},
		{boot.Action(boot.ExitBootServices), "214b0bef1379756011344877743fdc2a5382bac6e70362d624ccf3f654407c1b4badf7d8f9295dd3dabdef65b27677e0"},
		{boot.Action(boot.ExitedBootServices), "0a2e01c85deae718a530ad8c6d20a84009babe6c8989269e950d8cf440c6e997695e64d455c4174a652cd080f6230b74"},
		{variable(boot.GlobalVariable, "SecureBoot", []byte{0}), "cfa4e2c606f572627bf06d5669cc2ab1128358d27b45bc63ee9ea56ec109cfafb7194006f847a6a74b5eaed6b73332ec"},
		{variable(boot.GlobalVariable, "PK", nil), "6f2e3cbc14f9def86980f5f66fd85e99d63e69a73014ed8a5633ce56eca5b64b692108c56110e22acadcef58c3250f1b"},
		{variable(boot.GlobalVariable, "KEK", nil), "d607c0efb41c0d757d69bca0615c3a9ac0b1db06c557d992e906c6b7dee40e0e031640c7bfd7bcd35844ef9edeadc6f9"},
		{variable(boot.ImageSecurity, "db", nil), "08a74f8963b337acb6c93682f934496373679dd26af1089cb4eaf0c30cf260a12e814856385ab8843e56a9acea19e127"},
		{variable(boot.ImageSecurity, "dbx", nil), "18cc6e01f0c6ea99aa23f8a280423e94ad81d96d0aeb5180504fc0f7a40cb3619dd39bd6a95ec1680a86ed6ab0f9828d"},
		{variable("605dab50-e046-4300-abb6-3dd810dd8b23", "SbatLevel", []byte("sbat,1,2021030218\n")), "f143e2948d63fcd3442e841bb36a7e180871f0a8946541961fe9d12e70d0727874600956264dba531e2edd8729c5eb38"},
		{boot.LoadOptions("root=/dev/vda1 rw console=hvc0"), "3e6ed3b37cfc97289bef8d583fe31624793ee9dd46f94cc4320e1659bb888ad5d77f94851bac43f090a36538a63f0760"},
	} {
		if got := hex.EncodeToString(v.e.SHA384[:]); got != v.want {
			t.Errorf("%s: %s, want %s", v.e.What, got, v.want)
		}
	}
}

// TestUnifiedImage: what systemd's own tool says of the same sections. The first is
// published (systemd, test/units/testsuite-70.sh); the others are of Debian 12's
// systemd-measure 252.
func TestUnifiedImage(t *testing.T) {
	linux, initrd := petest.Section{Name: ".linux", Data: []byte("HALLO\n")}, petest.Section{Name: ".initrd", Data: []byte("foobar\n")}
	osrel, cmdline := petest.Section{Name: ".osrel", Data: []byte("NAME=x\n")}, petest.Section{Name: ".cmdline", Data: []byte("root=/dev/vda1 rw console=hvc0")}
	splash, dtb, key := petest.Section{Name: ".splash", Data: []byte("splash")}, petest.Section{Name: ".dtb", Data: []byte("dtb")}, petest.Section{Name: ".pcrpkey", Data: []byte("key")}
	for _, v := range []struct {
		sections       []petest.Section
		sha256, sha384 string
	}{
		{[]petest.Section{linux, initrd}, "37b48bd0b222394dbe3cceff2fca4660c4b0a90ae9369ec90b42f14489989c13",
			"5573f9b2caf55b1d0a6a701f890662d682af961899f0419cf1e2d5ea4a6a68c1f25bd4f5b8a0865eeee82af90f5cb087"},
		{[]petest.Section{initrd, cmdline, osrel, linux}, "994ae5fb24a7233c0ad70c0c85ad1f75bb18923a3d6061c394a3ee4b82cc4c2e",
			"ab3059b0c45f4368761ad0a3a946b220229309ba74e7563c570cd269419d40a347903c28394f8464482b7a737c761f02"},
		{[]petest.Section{key, dtb, splash, initrd, cmdline, osrel, linux, {Name: ".pcrsig", Data: []byte("signature")}}, "40dd68c477b86b2f742641921ba39182fe692c3297d9f0d548451c147dfbc68f",
			"5f29eac9d2347cef295e4f6970588d5cd772beec75909199ecd55894baaf18306d820d8cd7541c90e74dcfdba67249be"},
	} {
		events, err := boot.UnifiedImage(program(t, petest.Unified(v.sections...)))
		if err != nil {
			t.Fatal(err)
		}
		var l boot.List
		l.Add(boot.PCRUnifiedImage, events...)
		for b, want := range map[boot.Bank]string{boot.SHA256: v.sha256, boot.SHA384: v.sha384} {
			if got := hex.EncodeToString(l.Replay(b)[boot.PCRUnifiedImage]); got != want {
				t.Errorf("%d sections, %s: %s, want %s", len(v.sections), b, got, want)
			}
		}
	}
	// And what runs later goes on from there (the same test, with --phase=foo).
	events, err := boot.UnifiedImage(program(t, petest.Unified(linux, initrd)))
	if err != nil {
		t.Fatal(err)
	}
	var l boot.List
	l.Add(11, append(events, boot.Data("phase", []byte("foo")))...)
	if got := hex.EncodeToString(l.Replay(boot.SHA384)[11]); got != "08d0b003a134878eee552070d51d58abe942f457ca85704131dd36f73728e7327ca837594bc9d5ac7de818d02a3d5dd2" {
		t.Errorf("after a phase: %s", got)
	}
}

// names returns which sections are measured.
func names(t *testing.T, events []boot.Event) (out []string) {
	t.Helper()
	for i := 0; i < len(events); i += 2 {
		name, ok := strings.CutPrefix(events[i].What, "name of ")
		if !ok || events[i+1].What != name || events[i].SHA256 != sha256.Sum256([]byte(name+"\x00")) {
			t.Fatalf("%v", events)
		}
		out = append(out, name)
	}
	return out
}

// TestVersions: which sections a stub measures depends on its version.
func TestVersions(t *testing.T) {
	all := []petest.Section{
		{Name: ".sbat", Data: []byte("1")}, {Name: ".uname", Data: []byte("2")}, {Name: ".ucode", Data: []byte("3")}, {Name: ".linux", Data: []byte("4")},
		{Name: ".pcrpkey", Data: []byte("5")}, {Name: ".initrd", Data: []byte("6")},
	}
	long := "#### LoaderInfo: systemd-stub 252 " + strings.Repeat("#", 300)
	image := func(magic string) *pe.Image {
		return program(t, petest.Program(petest.Options{Sections: append([]petest.Section{{Name: ".sdmagic", Data: []byte(magic)}}, all...)}))
	}
	for magic, want := range map[string]string{
		"#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####": ".linux .initrd .pcrpkey",
		"#### LoaderInfo: systemd-stub 254 ####":              ".linux .initrd .uname .sbat .pcrpkey",
		"#### LoaderInfo: systemd-stub 255~rc1 ####":          ".linux .initrd .uname .sbat .pcrpkey",
		"#### LoaderInfo: systemd-stub 256.7 ####\x00":        ".linux .initrd .ucode .uname .sbat .pcrpkey",
		"#### LoaderInfo: systemd-stub 258.1 ####":            ".linux .initrd .ucode .uname .sbat .pcrpkey",
		"#### LoaderInfo: systemd-stub 252 ":                  ".linux .initrd .pcrpkey",
		"#### LoaderInfo: systemd-stub 252/":                  ".linux .initrd .pcrpkey",
		"#### LoaderInfo: systemd-stub 252:":                  ".linux .initrd .pcrpkey",
		long[:256]:                                            ".linux .initrd .pcrpkey",
	} {
		events, err := boot.UnifiedImage(image(magic))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(names(t, events), " "); got != want {
			t.Errorf("%q: %s, want %s", magic, got, want)
		}
	}
	for magic, want := range map[string]string{
		"#### LoaderInfo: systemd-stub 251.4 ####":   "use 252, or 254",
		"#### LoaderInfo: systemd-stub 253 ####":     "use 252, or 254",
		"#### LoaderInfo: systemd-stub 1254 ####":    "doesn't say",
		"#### LoaderInfo: systemd-stub +25 ####":     "use 252, or 254",
		"#### LoaderInfo: systemd-stub x54 ####":     "doesn't say",
		"#### LoaderInfo: systemd-stub 254":          "doesn't say",
		"#### LoaderInfo: systemd-boot 254 ####":     "doesn't say",
		long[:257]:                                   "doesn't say",
		"254 systemd-stub":                           "doesn't say",
		"#### LoaderInfo: systemd-stub 2540 ####":    "doesn't say",
		"#### LoaderInfo: systemd-stub 2549 ####":    "doesn't say",
		"#### LoaderInfo: systemd-stub 2 4 ########": "doesn't say",
	} {
		if _, err := boot.UnifiedImage(image(magic)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", magic, err, want)
		}
	}
}

func TestUnifiedRefused(t *testing.T) {
	linux := petest.Section{Name: ".linux", Data: []byte("4")}
	for name, v := range map[string]struct {
		b    []byte
		want string
	}{
		"no kernel":   {petest.Unified(), "isn't a unified kernel image"},
		"two kernels": {petest.Unified(linux, linux), ".linux twice"},
		"two initrds": {petest.Unified(linux, petest.Section{Name: ".initrd"}, petest.Section{Name: ".initrd"}), ".initrd twice"},
		"profile":     {petest.Unified(linux, petest.Section{Name: ".profile"}), "start chooses"},
		"two of them": {petest.Unified(linux, petest.Section{Name: ".hwids"}, petest.Section{Name: ".hwids"}), "start chooses"},
		"no stub":     {petest.Program(petest.Options{Sections: []petest.Section{linux}}), "doesn't say"},
		"two stubs":   {petest.Unified(linux, petest.Section{Name: ".sdmagic"}), ".sdmagic twice"},
	} {
		if _, err := boot.UnifiedImage(program(t, v.b)); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: %v, want %q", name, err, v.want)
		}
	}
	// Contents that aren't in the file.
	b := petest.Program(petest.Options{Sections: []petest.Section{{Name: ".sdmagic"}, linux}})
	b[bytes.Index(b, []byte(".sdmagic"))+8] = 40
	if _, err := boot.UnifiedImage(program(t, b)); err == nil || !strings.Contains(err.Error(), "longer in memory") {
		t.Errorf("a version that isn't in the file: %v", err)
	}
	for _, name := range []string{".linux", ".initrd"} {
		b := petest.Unified(linux, petest.Section{Name: ".initrd", Data: []byte("6")})
		at := bytes.Index(b, append([]byte(name), 0)[:min(8, len(name)+1)])
		b[at+9] = 0xff
		if _, err := boot.UnifiedImage(program(t, b)); err == nil {
			t.Errorf("%s is longer than its file, and measured", name)
		}
	}
	for _, b := range [][]byte{petest.Unified(), petest.Unified(linux, linux), petest.Unified(linux)} {
		if _, err := boot.Inner(program(t, b)); err == nil {
			t.Error("a kernel is found where none is")
		}
	}
	kernel := petest.Program(petest.Options{Sections: []petest.Section{{Name: ".text", Data: []byte("kernel")}}})
	inside := petest.Section{Name: ".linux", Data: kernel}
	if _, err := boot.Inner(program(t, petest.Unified(inside, inside))); err == nil {
		t.Error("one of two kernels is taken")
	}
	cut := petest.Unified(inside)
	cut[bytes.Index(cut, []byte(".linux"))+10] = 0xff
	if _, err := boot.Inner(program(t, cut)); err == nil {
		t.Error("a kernel that is longer than its file is taken")
	}
	m, err := boot.Inner(program(t, petest.Unified(petest.Section{Name: ".linux", Data: kernel})))
	if err != nil {
		t.Fatal(err)
	}
	a, err := boot.Image("inner", m)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := boot.Image("outer", program(t, kernel)); err != nil || a.SHA256 != b.SHA256 || a.SHA384 != b.SHA384 {
		t.Errorf("the kernel inside has another digest than outside: %v", err)
	}
}

func TestKernelOptions(t *testing.T) {
	linux := petest.Section{Name: ".linux", Data: []byte("4")}
	cmdline := func(s string) petest.Section { return petest.Section{Name: ".cmdline", Data: []byte(s)} }
	for s, want := range map[string]string{
		"console=ttyS0": "console=ttyS0", "  console=ttyS0 \n\x00": "console=ttyS0", "a  b\n\n": "a  b", "a~": "a~",
	} {
		m := program(t, petest.Unified(linux, cmdline(s), petest.Section{Name: ".initrd", Data: []byte("disk")}))
		if got, err := boot.UnifiedCmdline(m); err != nil || got != want {
			t.Errorf("%q: %q, %v", s, got, err)
		}
		events, err := boot.KernelOptions(m)
		if err != nil || len(events) != 2 || events[0] != boot.LoadOptions(want) || events[1].SHA384 != sha512.Sum384([]byte("disk")) {
			t.Errorf("%q: %v, %v", s, events, err)
		}
	}
	if events, err := boot.KernelOptions(program(t, petest.Unified(linux, cmdline("a")))); err != nil || len(events) != 1 {
		t.Errorf("without an initial RAM disk: %v, %v", events, err)
	}
	for name, v := range map[string]struct {
		sections []petest.Section
		want     string
	}{
		"none":       {nil, "no command line"},
		"white":      {[]petest.Section{cmdline(" \n")}, "no command line"},
		"two":        {[]petest.Section{cmdline("a"), cmdline("a")}, "twice"},
		"tab inside": {[]petest.Section{cmdline("a\tb")}, "printable"},
		"tab before": {[]petest.Section{cmdline("\tb")}, "printable"},
		"not ASCII":  {[]petest.Section{cmdline("é")}, "printable"},
		"long":       {[]petest.Section{cmdline(strings.Repeat("a", 16<<10+1))}, "16 KiB"},
		"ucode":      {[]petest.Section{cmdline("a"), {Name: ".initrd"}, {Name: ".ucode"}}, ".ucode beside"},
		"initrds":    {[]petest.Section{cmdline("a"), {Name: ".initrd"}, {Name: ".initrd"}}, "twice"},
	} {
		if _, err := boot.KernelOptions(program(t, petest.Unified(append([]petest.Section{linux}, v.sections...)...))); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: %v, want %q", name, err, v.want)
		}
	}
	if got, err := boot.UnifiedCmdline(program(t, petest.Unified(cmdline(strings.Repeat("a", 16<<10))))); err != nil || len(got) != 16<<10 {
		t.Errorf("the longest command line: %v", err)
	}
	if got, err := boot.UnifiedCmdline(program(t, petest.Unified(linux))); err != nil || got != "" {
		t.Errorf("no command line: %q, %v", got, err)
	}
	b := petest.Unified(linux, cmdline("a"), petest.Section{Name: ".initrd"}, petest.Section{Name: ".ucode"}, petest.Section{Name: ".ucode"})
	if _, err := boot.KernelOptions(program(t, b)); err == nil {
		t.Error("two .ucode are none")
	}
	b = petest.Unified(linux, cmdline("a"), petest.Section{Name: ".initrd", Data: []byte("x")})
	b[bytes.Index(b, []byte(".initrd"))+9] = 0x20
	if _, err := boot.KernelOptions(program(t, b)); err == nil {
		t.Error("an initial RAM disk beyond its file is measured")
	}
	b = petest.Unified(linux, cmdline("abc"))
	b[bytes.Index(b, []byte(".cmdline"))+9] = 0x20
	if _, err := boot.UnifiedCmdline(program(t, b)); err == nil {
		t.Error("a command line beyond its file is read")
	}
}

func TestReplay(t *testing.T) {
	var l boot.List
	l.Add(4, boot.Data("a", []byte("a")), boot.Data("b", []byte("b")))
	l.Add(7, boot.Data("c", []byte("c")))
	a, b, c := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b")), sha256.Sum256([]byte("c"))
	one := sha256.Sum256(append(make([]byte, 32), a[:]...))
	two := sha256.Sum256(append(one[:], b[:]...))
	seven := sha256.Sum256(append(make([]byte, 32), c[:]...))
	got := l.Replay(boot.SHA256)
	if len(got) != 2 || !bytes.Equal(got[4], two[:]) || !bytes.Equal(got[7], seven[:]) {
		t.Errorf("%x", got)
	}
	if got := l.Digests(boot.SHA256, 4); !slices.Equal(got, []string{hex.EncodeToString(a[:]), hex.EncodeToString(b[:])}) {
		t.Errorf("%v", got)
	}
	if boot.Bank("sha1").New() != nil {
		t.Error("SHA-1 is a bank")
	}
}

// TestRTMR is UEFI's table.
func TestRTMR(t *testing.T) {
	want := map[int]int{1: 0, 7: 0, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 8: 2, 9: 2, 10: 2, 11: 2, 12: 2, 13: 2, 14: 2, 15: 2}
	for pcr := -1; pcr < 25; pcr++ {
		got, ok := boot.RTMR(pcr)
		if w, is := want[pcr]; ok != is || got != w {
			t.Errorf("PCR %d: RTMR %d, %v", pcr, got, ok)
		}
	}
}

func TestGUID(t *testing.T) {
	g, err := boot.GUID(boot.GlobalVariable)
	if want := []byte("\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"); err != nil || !bytes.Equal(g[:], want) {
		t.Errorf("%x, %v", g, err)
	}
	for _, s := range []string{"", boot.GlobalVariable[1:], "8be4df61-93ca-11d2-aa0d+00e098032b8c", "8be4df61-93ca-11d2+aa0d-00e098032b8c", "8be4df61-93ca+11d2-aa0d-00e098032b8c", "8be4df61+93ca-11d2-aa0d-00e098032b8c", "8be4df6x-93ca-11d2-aa0d-00e098032b8c"} {
		if _, err := boot.GUID(s); err == nil {
			t.Errorf("%q is a GUID", s)
		}
		if _, err := boot.Variable(s, "db", nil); err == nil {
			t.Errorf("%q is a variable's GUID", s)
		}
	}
}

func TestStreams(t *testing.T) {
	if _, err := boot.Contents("short", bytes.NewReader([]byte("abc")), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := boot.Contents("broken", &failing{bytes.NewReader([]byte("abc")), 0}, 3); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	e, err := boot.Contents("file", bytes.NewReader([]byte("abc")), 3)
	if err != nil || e.SHA256 != sha256.Sum256([]byte("abc")) || e.SHA384 != sha512.Sum384([]byte("abc")) {
		t.Errorf("%v, %v", e, err)
	}
}

var errDisk = errors.New("the disk is broken")

// failing fails once, after a number of reads.
type failing struct {
	r     io.ReaderAt
	after int
}

func (f *failing) ReadAt(p []byte, at int64) (int, error) {
	if f.after--; f.after == -1 {
		return 0, errDisk
	}
	return f.r.ReadAt(p, at)
}

// TestFailing: whichever read fails, nothing comes out.
func TestFailing(t *testing.T) {
	b := petest.Unified(petest.Section{Name: ".linux", Data: petest.Program(petest.Options{Sections: []petest.Section{{Name: "a", Data: []byte("a")}}})},
		petest.Section{Name: ".cmdline", Data: []byte("console=ttyS0")}, petest.Section{Name: ".initrd", Data: []byte("disk")})
	for name, measure := range map[string]func(m *pe.Image) error{
		"image":   func(m *pe.Image) error { _, err := boot.Image("", m); return err },
		"unified": func(m *pe.Image) error { _, err := boot.UnifiedImage(m); return err },
		"options": func(m *pe.Image) error { _, err := boot.KernelOptions(m); return err },
		"inner": func(m *pe.Image) error {
			k, err := boot.Inner(m)
			if err == nil {
				_, err = boot.Image("", k)
			}
			return err
		},
	} {
		for reads := 1; ; reads++ {
			f := &failing{r: bytes.NewReader(b), after: reads}
			m, err := pe.Parse(f, int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			err = measure(m)
			if f.after >= 0 {
				if err != nil || reads == 1 {
					t.Errorf("%s: %v after %d reads", name, err, reads)
				}
				break
			}
			if !errors.Is(err, errDisk) {
				t.Errorf("%s: read %d failed: %v", name, reads+1, err)
			}
		}
	}
}

func FuzzUnified(f *testing.F) {
	f.Add(petest.Unified(petest.Section{Name: ".linux", Data: petest.Program(petest.Options{Sections: []petest.Section{{Name: "a", Data: []byte("a")}}})},
		petest.Section{Name: ".cmdline", Data: []byte("console=ttyS0")}, petest.Section{Name: ".initrd", Data: []byte("disk")}))
	f.Add(petest.Unified(petest.Section{Name: ".linux", Data: []byte("x")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := pe.Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		events, err := boot.UnifiedImage(m)
		if err == nil && len(events) < 2 {
			t.Fatal(events)
		}
		boot.KernelOptions(m)
		if k, err := boot.Inner(m); err == nil {
			if _, err := boot.Image("inner", k); err != nil {
				t.Fatal(err)
			}
		}
	})
}
