// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package platforms lists the kinds of hardware that this module can judge: the
// one place that the terminal, the browser and the test vectors take them from, so
// that all of them judge alike.
package platforms

import (
	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/snp"
	"github.com/sotto-chat/sotto/attest/software"
	"github.com/sotto-chat/sotto/attest/tdx"
	"github.com/sotto-chat/sotto/attest/tpm"
)

// All returns every platform, with the roots of its maker.
func All() []attest.Platform {
	return []attest.Platform{snp.Platform{}, tdx.Platform{}, tpm.Platform{}, nvidia.Platform{}, software.Platform{}}
}
