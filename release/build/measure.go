// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/measure"
)

// measure computes what hardware measures of machines that start as inputs describe
// (spec/measure.md), and adds it to the rules that stand in the configuration. A rule
// that is computed can't stand there too.
func (g gatherer) measure(inputs json.RawMessage, m *release.Manifest) error {
	if len(inputs) == 0 {
		return nil
	}
	in, err := measure.Parse(inputs)
	if err != nil {
		return err
	}
	for _, file := range in.Files() {
		f, err := os.Open(g.path(file.Name))
		if err != nil {
			return fmt.Errorf("measure: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("measure: %w", err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("measure: %s is no file", file.Name)
		}
		file.Open(f, info.Size())
	}
	found, err := measure.Compute(in)
	if err != nil {
		return err
	}
	rules := map[string]json.RawMessage{}
	for platform, raw := range m.Machines.Platforms {
		rules[platform] = raw
	}
	for platform, computed := range found.Rules() {
		if rules[platform], err = join(rules[platform], computed); err != nil {
			return fmt.Errorf("machines: the rules for %s: %w", platform, err)
		}
	}
	m.Machines.Platforms = rules
	for _, from := range found.From {
		x := release.Measured{Platform: from.Platform}
		for _, v := range from.Inputs {
			x.Inputs = append(x.Inputs, release.Value{Name: v.Name, Value: v.Value})
		}
		for _, v := range from.Values {
			x.Values = append(x.Values, release.Value{Name: v.Name, Value: v.Value})
		}
		m.Measured = append(m.Measured, x)
	}
	return nil
}

// join puts two sets of rules together, which must not say the same.
func join(given, computed json.RawMessage) (json.RawMessage, error) {
	if len(given) == 0 {
		return computed, nil
	}
	var a, b map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(given, &a), json.Unmarshal(computed, &b)); err != nil {
		return nil, err
	}
	for field, value := range b {
		if _, there := a[field]; there {
			return nil, fmt.Errorf("%s is computed from measure, so leave it out", field)
		}
		a[field] = value
	}
	return json.Marshal(a)
}
