// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/sotto-chat/sotto/release/measure/boot"
)

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
