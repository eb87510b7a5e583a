// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"errors"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tpm"
)

// describe names the fields of a piece of evidence. It is here and not with the
// judges' list, so that the browser's core doesn't link it.
func describe(e attest.Evidence) ([]attest.Field, error) {
	switch e.Platform {
	case snp.Name:
		return snp.Describe(e.Data)
	case tdx.Name:
		return tdx.Describe(e.Data)
	case tpm.Name:
		return tpm.Describe(e.Data)
	case nvidia.Name:
		return nvidia.Describe(e.Data)
	case software.Name:
		return []attest.Field{{Name: "signature", Value: hex.EncodeToString(e.Data), Meaning: "by a key that everybody knows; it proves nothing"}}, nil
	}
	return nil, errors.New("this program doesn’t know this kind of hardware")
}
