// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/release/measure/boot"
	"github.com/sotto-chat/sotto/release/measure/ovmf"
	"github.com/sotto-chat/sotto/release/measure/pe"
	"github.com/sotto-chat/sotto/release/measure/tdx"
)

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
