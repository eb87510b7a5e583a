// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package opinions

import (
	_ "github.com/confidentsecurity/go-nvtrust/pkg/gonvtrust/mocks"
	_ "github.com/google/go-sev-guest/validate"
	_ "github.com/google/go-sev-guest/verify/testdata"
	_ "github.com/google/go-tdx-guest/testing/testdata"
	_ "github.com/google/go-tdx-guest/validate"
	_ "github.com/google/go-tdx-guest/verify"
	_ "github.com/google/go-tpm-tools/server"
	_ "github.com/google/go-tpm/tpm2"
	_ "github.com/sotto-chat/sotto/attest"
)
