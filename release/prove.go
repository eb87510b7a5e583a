// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strconv"

	"github.com/sotto-chat/sotto/tlog"
)

// Signed checks that enough of the pinned keys signed a release of the pinned
// product, and returns their names. It says nothing of the log.
func (p Pin) Signed(r Release) ([]string, error) {
	_, keys, err := p.read()
	if err != nil {
		return nil, failure(tlog.FailMalformed, "the pin can't be used: "+err.Error())
	}
	var names []string
	for _, k := range r.Signers(keys) {
		names = append(names, k.Name())
	}
	if err := p.signed(r, keys); err != nil {
		return names, err
	}
	if r.Manifest.Product != p.Product {
		return names, failure(tlog.FailUnlogged, "it is a release of "+r.Manifest.Product)
	}
	return names, nil
}

// Proved checks a release with a proof that was kept beside it (c2sp.org/tlog-proof):
// it stands in the pinned log, at its place. What newer releases say of it, and what
// others see of the log since, it can't tell: that takes a view and [Pin.Open].
func (p Pin) Proved(signed, proof []byte) (c tlog.Checkpoint, index int64, err error) {
	policy, _, err := p.read()
	if err != nil {
		return c, 0, failure(tlog.FailMalformed, "the pin can't be used: "+err.Error())
	}
	r, err := Parse(signed)
	if err != nil {
		return c, 0, failure(tlog.FailMalformed, err.Error())
	}
	kept, err := tlog.ParseProof(proof)
	if err != nil {
		return c, 0, err
	}
	if c, err = kept.Verify(signed, policy); err != nil {
		return c, kept.Index, err
	}
	if kept.Index != r.Manifest.Index {
		return c, kept.Index, failure(tlog.FailUnlogged, "it is entry "+strconv.FormatInt(kept.Index, 10)+" of the log, and was signed to be entry "+strconv.FormatInt(r.Manifest.Index, 10))
	}
	return c, kept.Index, nil
}
