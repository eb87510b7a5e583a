// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package llamaserver

import (
	"os/exec"
	"syscall"
)

// setDeathSignal has the kernel end the child when we die without saying so.
func setDeathSignal(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
