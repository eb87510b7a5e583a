// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest/bundle"
)

// Nonce is [bundle.Nonce] of the report data.
func (c Claim) Nonce(platform string) [32]byte { return bundle.Nonce(platform, c.ReportData) }

// Bound is the part "key.bound" of evidence that holds all 64 bytes of the
// report data: found is what the hardware signed.
func (c Claim) Bound(found []byte) Check { return c.bound(c.ReportData[:], found) }

// BoundNonce is the part "key.bound" of evidence that holds a [Claim.Nonce].
func (c Claim) BoundNonce(platform string, found []byte) Check {
	n := c.Nonce(platform)
	return c.bound(n[:], found)
}

func (c Claim) bound(want, found []byte) Check {
	const title = "The proof speaks of this key"
	switch {
	case c.Unbound:
		ck := Warned("key.bound", title, "No key was named to compare with what the hardware signed.")
		ck.Found = hex.EncodeToString(found)
		return ck
	case !bytes.Equal(want, found):
		ck := Failed("key.bound", title, FailKeyNotBound, "This proof was made for another key, or for nothing that this app asked for.")
		ck.Want, ck.Found = hex.EncodeToString(want), hex.EncodeToString(found)
		return ck
	default:
		return Passed("key.bound", title, "The hardware signed this very key.")
	}
}

// Rules decodes a platform's own rules into v, which the caller has filled with
// defaults, as [Strictly] does. A policy without rules for the platform leaves v as
// it is.
func (p Policy) Rules(platform string, v any) error {
	raw, ok := p.Platforms[platform]
	if !ok {
		return nil
	}
	return Strictly(raw, v)
}

// Strictly decodes one JSON value into v. Whatever could make a rule count for
// nothing is refused: a field that isn't known, one that stands there twice (in
// whatever case, since the decoder overlooks that), a null, bytes that follow,
// nesting beyond 16 levels.
func Strictly(doc []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if err := clearly(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes follow its end")
	}
	dec = json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// maxNesting is how deep values may be nested.
const maxNesting = 16

// clearly reads one JSON value and reports what in it could be overlooked.
func clearly(dec *json.Decoder, depth int) error {
	t, err := dec.Token()
	switch {
	case err != nil:
		return err
	case t == nil:
		return errors.New("it holds a null")
	case t != json.Delim('{') && t != json.Delim('['):
		return nil
	case depth == maxNesting:
		return errors.New("it is nested too deep")
	}
	var keys []string
	for dec.More() {
		if t == json.Delim('{') {
			name, _ := dec.Token() // an error comes again, for the value
			key, _ := name.(string)
			if slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, key) }) {
				return errors.New("the field “" + key + "” stands there twice")
			}
			keys = append(keys, key)
		}
		if err := clearly(dec, depth+1); err != nil {
			return err
		}
	}
	_, _ = dec.Token() // the end, which the second reading finds wrong if it is
	return nil
}

// Field is one field of evidence, for a person who looks at it without judging.
type Field struct {
	Name    string `json:"name"`  // as the maker's document calls it
	Value   string `json:"value"` // hex, a number, or a word
	Meaning string `json:"meaning,omitempty"`
}

// Examine judges evidence that comes without a bundle: a report of any system's
// machine. There is no key config, so nothing can be sealed to what it finds, and
// the best state is [StateGenuine]. Where reportData isn't nil, the evidence must
// have signed it. Require and Platforms of the policy count, all else in it speaks
// of key configs and doesn't.
func Examine(evidence []Evidence, reportData *[64]byte, p Policy, now time.Time, platforms ...Platform) Verdict {
	j := newJudge(now)
	claim := Claim{Unbound: reportData == nil}
	if reportData != nil {
		claim.ReportData = *reportData
	}
	for _, e := range evidence {
		j.appraise(e, claim, p, now, platforms)
	}
	j.checkRequired(evidence, p)
	for _, name := range j.v.Platforms {
		if first, _ := j.firstFailure(); first == "" && !j.proves(name, RowChip) {
			j.add(name, Failed("chip.whole", "Each kind of hardware is proved", FailEvidenceIncomplete,
				"Nothing that this kind of hardware signed proves that it is genuine."))
		}
	}
	v := j.verdict(p)
	for i := range v.Checks {
		if v.Checks[i].Redo != "" {
			v.Checks[i].Redo = redoFile
		}
	}
	// The rows that only a key config or a policy can prove may stay open here. Where
	// something else failed, they do if a part says why.
	if len(evidence) == 0 || j.demo {
		return v
	}
	first, _ := j.firstFailure()
	if first == "" {
		v.State, v.Failure, v.Summary = StateGenuine, "", summaryGenuine
	}
	for i := range v.Checks {
		c := &v.Checks[i]
		if c.Status != StatusFail || c.ID == RowChip || slices.ContainsFunc(c.Parts, func(p Check) bool { return p.Status == StatusFail }) {
			continue
		}
		why := slices.IndexFunc(c.Parts, func(p Check) bool { return p.Status == StatusWarn })
		switch {
		case why >= 0:
			c.Detail = c.Parts[why].Detail
		case first == "":
			c.Detail = "Nothing was asked for here, so nothing was compared."
		default:
			continue
		}
		c.Status, c.Failure = StatusWarn, ""
	}
	return v
}
