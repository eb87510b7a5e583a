// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/tpm/tpmtest"
)

func programFile() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("sotto-evil-%d", os.Getpid()))
}

// program is the real terminal program, built once. Whoever is the last removes it.
var program = sync.OnceValues(func() (string, error) {
	file := programFile()
	cmd := exec.Command("go", "build", "-o", file, "github.com/sotto-chat/sotto/cmd/sotto")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cmd/sotto: %w\n%s", err, out)
	}
	return file, nil
})

// exitNotVerified is the program's exit code when nothing was sent.
const exitNotVerified = 3

// runProgram runs the terminal program with a folder of its own for what it keeps.
func (v *victim) runProgram(ctx context.Context, args ...string) (stdout, stderr string, code int, err error) {
	file, err := program()
	if err != nil {
		return "", "", 0, err
	}
	if v.folder == "" {
		if v.folder, err = os.MkdirTemp("", "sotto-evil-terminal-"); err != nil {
			return "", "", 0, err
		}
		v.w.ends = append(v.w.ends, func() { os.RemoveAll(v.folder) })
		policy, err := json.Marshal(v.policy)
		if err != nil {
			return "", "", 0, err
		}
		if err := os.WriteFile(filepath.Join(v.folder, "policy.json"), policy, 0o600); err != nil {
			return "", "", 0, err
		}
	}
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = append(os.Environ(), "SOTTO_CONFIG_DIR="+filepath.Join(v.folder, "config"), "SOTTO_SERVER="+v.w.URL,
		"SOTTO_POLICY="+filepath.Join(v.folder, "policy.json"), "SOTTO_INSECURE_SOFTWARE_NODE=0")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out.String(), errOut.String(), exit.ExitCode(), nil
	}
	return out.String(), errOut.String(), 0, err
}

// inTheTerminal is a person who checks the service with the terminal program and
// asks one thing, whatever the check said.
func inTheTerminal(ctx context.Context, w *World) error {
	verdict, errOut, checked, err := w.victim.runProgram(ctx, "verify", "--json")
	if err != nil {
		return err
	}
	word := w.victim.newWord()
	answer, askErr, asked, err := w.victim.runProgram(ctx, "ask", "-model", "test", "say "+word)
	switch {
	case err != nil:
		return err
	case checked == 0 && asked == 0 && strings.Contains(answer, word):
		return nil
	case checked != exitNotVerified || asked != exitNotVerified || !strings.Contains(askErr, "Not sent."):
		return fmt.Errorf("exit codes %d and %d: %s%s", checked, asked, errOut, askErr)
	}
	var doc struct {
		Verdicts []attest.Verdict `json:"verdicts"`
	}
	if err := json.Unmarshal([]byte(verdict), &doc); err != nil || len(doc.Verdicts) == 0 {
		return fmt.Errorf("the verdict is %q", verdict)
	}
	return &failure{doc.Verdicts[0].Failure}
}

// programAttacks are some against the program that people have. It believes no
// maker but the real ones, and a TPM's by the policy, so that is what it is shown.
func programAttacks() []*Attack {
	const promise = "The terminal program sends nothing to what did not pass, and says so."
	one := func(name, attacker, failure string, arm func(context.Context, *World) error) *Attack {
		return &Attack{Class: classEvidence, Name: name, Promise: promise, Attacker: attacker, Failure: failure,
			Setup: setup{kind: kindTPM}, Arm: arm, Victim: inTheTerminal}
	}
	return []*Attack{
		one("terminal-and-a-maker-of-one-s-own", "the owner of any computer", attest.FailChainUntrusted, offer(func(w *World) (rogue, error) {
			return rogue{evidence: func(rd [64]byte) []bundle.Evidence {
				return append(kindTPM.evidence(rd, changes{}), kindSNP.evidence(rd, changes{})...)
			}}, nil
		})),
		one("terminal-and-other-software", "the owner of a machine of this kind", attest.FailSoftwareMismatch, offerOdd(kindTPM, changes{tpm: func(m *tpmtest.Machine) {
			m.Events[5].Digest = []byte("another image")
		}})),
		one("terminal-and-demo-hardware", "the owner of any computer", attest.FailSoftwareRefused, offer(func(*World) (rogue, error) { return rogue{}, nil })),
	}
}
