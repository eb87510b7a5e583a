// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest

// Refused is the appraisal of evidence of which nothing can be judged: for the
// same reason, which the part id names, it isn't bound to the key either.
func Refused(id, title, failure, detail string) Appraisal {
	return Appraisal{Checks: []Check{Failed(id, title, failure, detail), Failed("key.bound", "The proof speaks of this key", failure, detail)}}
}

// RefusedRules is the appraisal of evidence that a policy's rules for its platform
// can't be asked about: found is why they can't be read, for programs too.
func RefusedRules(whose string, err error) Appraisal {
	a := Refused("chip.policy", titleRules, FailPolicyMalformed, rulesUnread(whose, err))
	a.Checks[0].Found = err.Error()
	return a
}

// FailRules adds the part of the same name.
func (f *Findings) FailRules(whose string, err error) {
	f.Fail("chip.policy", titleRules, FailPolicyMalformed, rulesUnread(whose, err), "", err.Error())
}

const titleRules = "The rules for this kind of machine can be read"

func rulesUnread(whose string, err error) string {
	return "This app's own rules for " + whose + " can't be read: " + err.Error() + "."
}

// Findings are the parts of an [Appraisal], gathered as a platform goes along.
type Findings []Check

// Pass adds a part that was found right.
func (f *Findings) Pass(id, title, detail string) { *f = append(*f, Passed(id, title, detail)) }

// Warn adds a part that is worth saying and no reason to stop.
func (f *Findings) Warn(id, title, detail, found string) {
	c := Warned(id, title, detail)
	c.Found = found
	*f = append(*f, c)
}

// Fail adds a part that was found wrong.
func (f *Findings) Fail(id, title, failure, detail, want, found string) {
	c := Failed(id, title, failure, detail)
	c.Want, c.Found = want, found
	*f = append(*f, c)
}
