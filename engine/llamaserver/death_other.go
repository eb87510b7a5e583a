// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package llamaserver

import "os/exec"

func setDeathSignal(*exec.Cmd) {}
