// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest

import "github.com/sotto-chat/sotto/attest/bundle"

// What a machine writes is package bundle's; whoever judges it finds it here.
type (
	KeyConfig = bundle.KeyConfig
	Model     = bundle.Model
	Evidence  = bundle.Evidence
	Bundle    = bundle.Bundle
	Base64URL = bundle.Base64URL
)

// Limits and sizes of it; see package bundle.
const (
	MaxKeyConfig  = bundle.MaxKeyConfig
	MaxBundle     = bundle.MaxBundle
	MaxEvidence   = bundle.MaxEvidence
	MaxModels     = bundle.MaxModels
	Suite         = bundle.Suite
	PublicKeySize = bundle.PublicKeySize
	KeyIDSize     = bundle.KeyIDSize

	DefaultMaxLifetime = bundle.DefaultMaxLifetime
)

// ParseKeyConfig is [bundle.ParseKeyConfig].
func ParseKeyConfig(b []byte) (KeyConfig, error) { return bundle.ParseKeyConfig(b) }

// ParseBundle is [bundle.ParseBundle].
func ParseBundle(doc []byte) (Bundle, error) { return bundle.ParseBundle(doc) }

// KeyID is [bundle.KeyID].
func KeyID(config []byte) [KeyIDSize]byte { return bundle.KeyID(config) }

// ReportData is [bundle.ReportData].
func ReportData(config []byte) [64]byte { return bundle.ReportData(config) }
