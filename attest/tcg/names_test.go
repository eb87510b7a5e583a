// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tcg_test

import (
	"testing"

	"github.com/sotto-chat/sotto/attest/tcg"
)

func TestTypeName(t *testing.T) {
	for typ, want := range map[uint32]string{
		0: "", 2: "", 3: "NO_ACTION", 0x0d: "IPL", 0x13: "POST_CODE2", 0x14: "", 0x7fffffff: "",
		0x80000000: "", 0x80000001: "EFI_VARIABLE_DRIVER_CONFIG", 0x80000010: "EFI_HCRTM_EVENT",
		0x800000e4: "EFI_SPDM_DEVICE_AUTHORITY", 0x800000e5: "", 0xffffffff: "",
	} {
		if got := tcg.TypeName(typ); got != want {
			t.Errorf("%#x is %q, want %q", typ, got, want)
		}
	}
}
