// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package nvml

import (
	"errors"

	"github.com/ebitengine/purego"
)

// Close ends the use of NVML.
func (g *GPUs) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(result("nvmlShutdown", g.shutdown()), purego.Dlclose(g.library))
}
