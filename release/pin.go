// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"errors"
	"strconv"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/tlog"
)

// DefaultMaxAge is how many seconds old a checkpoint may be where a pin doesn't say.
const DefaultMaxAge = 86400

// Limits of a pin.
const (
	MaxPin  = 64 << 10 // bytes
	maxKeys = 16       // keys that sign releases
)

// Pin is what a client knows beforehand of the log and of who signs releases. It
// comes with the client, or out of a policy file; never from the servers that it
// is meant to check.
type Pin struct {
	V         int      `json:"v"`                 // 1
	Product   string   `json:"product"`           // releases of anything else don't count
	Log       string   `json:"log"`               // the log's key, its witnesses and their quorum (C2SP tlog-policy)
	Keys      []string `json:"keys"`              // of those who sign releases (C2SP signed-note, Ed25519)
	Threshold int      `json:"threshold"`         // how many of Keys must have signed a release
	MaxAge    int64    `json:"max_age,omitempty"` // of a checkpoint, in seconds; 0 means [DefaultMaxAge]
}

// ParsePin reads a pin strictly: a field that stands there twice or isn't known, or
// a pin that could pass anything, is an error. Errors are the rest of a sentence.
func ParsePin(doc []byte) (Pin, error) {
	if len(doc) > MaxPin {
		return Pin{}, errors.New("it is longer than " + strconv.Itoa(MaxPin) + " bytes")
	}
	var p Pin
	if err := attest.Strictly(doc, &p); err != nil {
		return Pin{}, err
	}
	if _, _, err := p.read(); err != nil {
		return Pin{}, err
	}
	return p, nil
}

// read returns the pinned log and keys, or what is wrong with the pin.
func (p Pin) read() (tlog.Policy, []tlog.Key, error) {
	fail := func(text string) (tlog.Policy, []tlog.Key, error) {
		return tlog.Policy{}, nil, errors.New(text)
	}
	switch {
	case p.V != 1:
		return fail("v is not 1")
	case !name(p.Product):
		return fail("product is not a plain name")
	case len(p.Keys) > maxKeys:
		return fail("keys is longer than " + strconv.Itoa(maxKeys))
	case p.Threshold < 1 || p.Threshold > len(p.Keys):
		return fail("threshold is not between 1 and the number of keys")
	case p.MaxAge < 0 || p.MaxAge > 1<<31:
		return fail("max_age is not a time in seconds")
	}
	policy, err := tlog.ParsePolicy(p.Log)
	if err != nil {
		return fail("log: " + err.Error())
	}
	if err := policy.Sound(); err != nil {
		return fail("log " + err.Error())
	}
	keys, err := tlog.ParseKeys(p.Keys)
	if err != nil {
		return fail("keys: " + err.Error())
	}
	return policy, keys, nil
}

func (p Pin) maxAge() time.Duration {
	if p.MaxAge == 0 {
		return DefaultMaxAge * time.Second
	}
	return time.Duration(p.MaxAge) * time.Second
}
