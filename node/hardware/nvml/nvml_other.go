// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux || (!amd64 && !arm64)

package nvml

import (
	"errors"

	"github.com/sotto-chat/sotto/attest/bundle"
)

// GPUs can't be asked on this system: NVIDIA's confidential ones run on Linux.
type GPUs struct{}

// Open returns an error.
func Open(string) (*GPUs, error) {
	return nil, errors.New("NVML: GPUs can be asked on Linux only")
}

// Close does nothing.
func (*GPUs) Close() error { return nil }

// Count returns 0.
func (*GPUs) Count() int { return 0 }

// Evidence returns none.
func (*GPUs) Evidence([64]byte, ...[]byte) ([]bundle.Evidence, error) { return nil, nil }
