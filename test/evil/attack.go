// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Classes of attacks, in the order of the table.
const (
	classEvidence = "evidence"
	classNodes    = "list of machines"
	classLog      = "log"
	classSealing  = "sealing"
	classVault    = "history"
	classWeb      = "page"
	classMetadata = "metadata"
)

var classes = []string{classEvidence, classLog, classNodes, classSealing, classVault, classWeb, classMetadata}

// nothing is the failure of an attack that nobody has to notice, because there is
// nothing to be had by it.
const nothing = "nothing gained"

// Attack is one thing that a malicious operator does.
type Attack struct {
	Class, Name string
	Promise     string // the sentence that it attacks
	Attacker    string // who one has to be
	Failure     string // the name of what comes of it, from the closed lists

	Setup setup

	// Arm turns the honest operator into this one.
	Arm func(ctx context.Context, w *World) error

	// Victim is what the person does, before and after; nil is to ask one thing.
	// Before Arm it must succeed.
	Victim func(ctx context.Context, w *World) error

	// Sends says that sealed bytes go out: the machine is honest, and what is
	// around it isn't. Everywhere else not one sealed request may leave.
	Sends bool
}

// attempt has the person do the usual thing.
func (a *Attack) attempt(ctx context.Context, w *World) error {
	if a.Victim != nil {
		return a.Victim(ctx, w)
	}
	return w.victim.ask(ctx)
}

// attackTime bounds one attack.
const attackTime = 2 * time.Minute

// run builds a world, shows that it works while its operator is honest, attacks,
// and says what is not as it must be.
func (a *Attack) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	w, err := newWorld(a.Setup)
	if err != nil {
		return fmt.Errorf("building the world: %w", err)
	}
	defer w.Close()
	if err := a.attempt(ctx, w); err != nil {
		return fmt.Errorf("while the operator is honest: %w", err)
	}
	if err := a.Arm(ctx, w); err != nil {
		return fmt.Errorf("arming: %w", err)
	}
	w.armed = true
	before, _ := w.sealed()
	got := a.attempt(ctx, w)
	want := a.Failure
	if want == nothing {
		want = ""
	}
	if name := failureOf(got); name != want {
		return fmt.Errorf("failure %q, want %q (%v)", name, a.Failure, got)
	}
	if after, _ := w.sealed(); after != before && !a.Sends {
		return fmt.Errorf("%d sealed requests were sent", after-before)
	}
	if err := w.gather(); err != nil {
		return fmt.Errorf("gathering: %w", err)
	}
	for _, word := range w.victim.words {
		if form := w.Holds(word); form != "" {
			return fmt.Errorf("the operator has a person's words, as %s", form)
		}
	}
	return nil
}

// attacks are all of them, class by class.
func attacks() []*Attack {
	all := slices.Concat(evidenceAttacks(), freshAttacks(), programAttacks(), logAttacks(), nodeAttacks(), sealingAttacks(), vaultAttacks(), webAttacks(), metadataAttacks())
	slices.SortStableFunc(all, func(a, b *Attack) int { return slices.Index(classes, a.Class) - slices.Index(classes, b.Class) })
	return all
}
