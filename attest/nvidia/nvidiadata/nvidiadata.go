// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package nvidiadata makes evidence of the platform nvidia from what GPUs and
// NVIDIA's tools give: for the node, and for the terminal, which reads what other
// systems recorded. The browser doesn't link it.
package nvidiadata

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/nvidia"
	"github.com/sotto-chat/sotto/attest/section"
)

// Report is what one GPU gave.
type Report struct {
	Report []byte // as NVML gives it
	Chain  []byte // five certificates, the leaf first: PEM, or DER one after the other
}

// FromReports makes evidence of one or more GPUs. Collateral is what is needed to
// judge it, in any order: tables and NVIDIA's revocation lists in DER.
func FromReports(reports []Report, collateral ...[]byte) ([]byte, error) {
	var out []byte
	var chains, tables, crls [][]byte
	for i, r := range reports {
		if _, err := nvidia.ParseReport(r.Report); err != nil {
			return nil, fmt.Errorf("GPU %d: %w", i+1, err)
		}
		der, err := chain(r.Chain)
		if err != nil {
			return nil, fmt.Errorf("GPU %d: %w", i+1, err)
		}
		chains = append(chains, der)
		out = section.Append(out, nvidia.KindReport, r.Report)
	}
	for i, b := range collateral {
		if _, err := nvidia.ParseTable(b); err == nil {
			tables = append(tables, b)
		} else if _, err := cert.ParseCRL(b); err == nil {
			crls = append(crls, b)
		} else {
			return nil, fmt.Errorf("collateral %d is neither a table nor a revocation list", i+1)
		}
	}
	for _, c := range chains {
		out = section.Append(out, nvidia.KindChain, c)
	}
	for _, t := range tables {
		out = section.Append(out, nvidia.KindTable, t)
	}
	for _, c := range crls {
		out = section.Append(out, nvidia.KindCRL, c)
	}
	if _, err := section.Parse(out, nvidia.Sections()); err != nil {
		return nil, err
	}
	return out, nil
}

// chain returns certificates in DER, one after the other.
func chain(b []byte) ([]byte, error) {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN")) {
		list, err := cert.ParsePEM(b, 8)
		if err != nil {
			return nil, err
		}
		b = nil
		for _, c := range list {
			b = append(b, c.Raw...)
		}
	}
	_, err := nvidia.ParseChain(b)
	return b, err
}

// MaxFile is the most bytes that [Read] looks at.
const MaxFile = 4 << 20

// Read finds reports in a file: one as NVML gives it, the same in hex or base64,
// or the JSON list of NVIDIA's tools (nvattest collect-evidence), which holds the
// chains, too. Without JSON, Chain is nil.
func Read(file []byte) ([]Report, error) {
	if len(file) > MaxFile {
		return nil, errors.New("the file is too long")
	}
	if _, err := nvidia.ParseReport(file); err == nil {
		return []Report{{Report: file}}, nil
	}
	text := bytes.TrimSpace(file)
	if len(text) > 0 && (text[0] == '[' || text[0] == '{') {
		return readJSON(text)
	}
	text = bytes.Join(bytes.Fields(text), nil)
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if b, err := decode(string(text)); err == nil {
			if _, err := nvidia.ParseReport(b); err != nil {
				return nil, err
			}
			return []Report{{Report: b}}, nil
		}
	}
	return nil, errors.New("this is not a GPU's report")
}

func readJSON(text []byte) ([]Report, error) {
	type item struct {
		Evidence    []byte `json:"evidence"`
		Certificate []byte `json:"certificate"`
	}
	var list []item
	if text[0] == '{' {
		var doc struct {
			Evidences []item `json:"evidences"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, errors.New("this is not the JSON of NVIDIA's tools")
		}
		list = doc.Evidences
	} else if err := json.Unmarshal(text, &list); err != nil {
		return nil, errors.New("this is not the JSON of NVIDIA's tools")
	}
	if len(list) == 0 {
		return nil, errors.New("this is not the JSON of NVIDIA's tools")
	}
	var out []Report
	for _, e := range list {
		if _, err := nvidia.ParseReport(e.Evidence); err != nil {
			return nil, err
		}
		out = append(out, Report{Report: e.Evidence, Chain: e.Certificate})
	}
	return out, nil
}
