// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build goexperiment.runtimesecret

package core

import (
	"runtime"
	"runtime/secret"
)

// withSecrets runs f. Registers and stack are zeroed when it returns, and what
// it allocated when the collector finds it unreachable.
func withSecrets(f func()) { secret.Do(f) }

func collectSecrets() { runtime.GC() }
