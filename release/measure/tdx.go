// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"strconv"

	"github.com/sotto-chat/sotto/release/measure/boot"
	"github.com/sotto-chat/sotto/release/measure/ovmf"
	"github.com/sotto-chat/sotto/release/measure/tdx"
)

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
