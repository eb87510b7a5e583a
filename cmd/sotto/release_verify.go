// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// releaseCheck is one line of “sotto release verify”.
type releaseCheck struct {
	ID      string `json:"id"`
	Status  string `json:"status"` // ok, warn or fail
	Failure string `json:"failure,omitempty"`
	Detail  string `json:"detail"`
}

// verifiedRelease is what it prints as JSON.
type verifiedRelease struct {
	OK      bool           `json:"ok"`
	Failure string         `json:"failure"`
	Release string         `json:"release"`
	Version string         `json:"version"`
	Checks  []releaseCheck `json:"checks"`
}

// readPin reads a pin: the document itself, or a policy that has one in it.
func readPin(file string) (release.Pin, error) {
	b, err := collateral.ReadFile(file, release.MaxPin)
	if err != nil {
		return release.Pin{}, withHint(err, "")
	}
	var policy struct {
		Pin json.RawMessage `json:"pin"`
	}
	if json.Unmarshal(b, &policy) == nil && len(policy.Pin) > 0 {
		b = policy.Pin
	}
	p, err := release.ParsePin(b)
	if err != nil {
		return release.Pin{}, withHint(fmt.Errorf("the pin in %s can’t be used: %w", file, err), "spec/release.md lists its fields.")
	}
	return p, nil
}

// releaseVerify checks a release against a pin and the log.
func (a *app) releaseVerify(args []string) error {
	flags := a.flags()
	pinFile := flags.String("pin", "", "what is known beforehand: the `FILE` of a pin, or of a policy with one in it")
	log := flags.String("log", "", "ask the log, or a gateway, at `URL` whether the release stands in it and is still good")
	viewFile := flags.String("view", "", "read the log’s view from `FILE` instead")
	proofFile := flags.String("proof", "", "the `FILE` with the proof that publish saved; beside the release when not given")
	at := flags.String("time", "", "judge as of this `TIME`; now when not given")
	asJSON := flags.Bool("json", false, "print it as JSON")
	rest, err := a.parse(flags, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) != 1:
		return usageError("“sotto release verify” takes the file of one release", "")
	case *pinFile == "":
		return usageError("it isn’t said which log and which keys count", "give -pin FILE: a pin, or a policy that has one")
	case *log != "" && *viewFile != "":
		return usageError("-log and -view exclude each other", "")
	}
	now, err := parseTime(*at)
	if err != nil {
		return err
	}
	pin, err := readPin(*pinFile)
	if err != nil {
		return err
	}
	signed, err := a.readReleaseFile(rest[0])
	if err != nil {
		return err
	}
	r, err := parseRelease(signed)
	if err != nil {
		return withHint(fmt.Errorf("%s is no release: %w", rest[0], err), "")
	}
	out := verifiedRelease{Release: r.Digest(), Version: r.Manifest.Version}
	add := func(id, ok string, err error) bool {
		c := releaseCheck{ID: id, Status: "ok", Detail: ok}
		if err != nil {
			c.Status, c.Detail, c.Failure = "fail", err.Error(), tlog.FailMalformed
			if named := (*tlog.Error)(nil); errors.As(err, &named) {
				c.Failure, c.Detail = named.Failure, named.Detail
			}
			if out.Failure == "" {
				out.Failure = c.Failure
			}
		}
		out.Checks = append(out.Checks, c)
		return err == nil
	}

	names, err := pin.Signed(r)
	add("signatures", fmt.Sprintf("%s signed it, and it takes %d of the pinned keys", strings.Join(names, ", "), pin.Threshold), err)

	var view []byte
	switch {
	case *log != "":
		if view, err = askLog(http.MethodGet, *log, "/sotto/v1/log", nil, tlog.MaxView); err != nil {
			return err
		}
	case *viewFile != "":
		if view, err = collateral.ReadFile(*viewFile, tlog.MaxView); err != nil {
			return withHint(err, "")
		}
	}
	if view != nil {
		verifyInView(pin, r, view, now, add)
	} else {
		name := *proofFile
		if name == "" {
			name = rest[0] + ".proof"
		}
		proof, err := collateral.ReadFile(name, tlog.MaxProof)
		if errors.Is(err, fs.ErrNotExist) && *proofFile == "" {
			return usageError("there is nothing to tell whether the log holds it", "give -log URL, -view FILE, or -proof FILE")
		}
		if err != nil {
			return withHint(err, "")
		}
		c, index, err := pin.Proved(signed, proof)
		add("log", fmt.Sprintf("it is entry %d of %s, which %s saw", index, c.Origin, strings.Join(c.Witnesses, ", ")), err)
		out.Checks = append(out.Checks, releaseCheck{ID: "revoked", Status: "warn",
			Detail: "a proof doesn’t tell whether a newer release revokes it: ask the log with -log URL"})
	}
	out.OK = out.Failure == ""
	if *asJSON {
		if err := json.NewEncoder(a.out).Encode(out); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "release %s\n", out.Release)
		for _, c := range out.Checks {
			what := c.Detail
			if c.Failure != "" {
				what = c.Failure + ": " + what
			}
			fmt.Fprintf(a.out, "%-5s %s: %s\n", mark(c.Status), c.ID, plain(what))
		}
	}
	if !out.OK {
		return &failure{nil, "", exitNotVerified}
	}
	return nil
}

// verifyInView looks for the release in a view of the log.
func verifyInView(pin release.Pin, r release.Release, view []byte, now time.Time, add func(id, ok string, err error) bool) {
	p, err := pin.Open(view, nil, now)
	if err != nil {
		add("log", "", err)
		return
	}
	add("log", fmt.Sprintf("%s has %d entries, and %s saw it", p.Checkpoint.Origin, p.Checkpoint.Size, strings.Join(p.Checkpoint.Witnesses, ", ")), nil)
	newest, _ := p.Newest()
	_, index, err := p.Find(r.Digest())
	if named := (*tlog.Error)(nil); errors.As(err, &named) && named.Failure == tlog.FailRevoked {
		add("entry", fmt.Sprintf("it is entry %d", index), nil)
		add("revoked", "", err)
		return
	}
	if add("entry", fmt.Sprintf("it is entry %d", index), err) {
		add("revoked", "the newest release, "+newest.Manifest.Version+", doesn’t revoke it", nil)
	}
}
