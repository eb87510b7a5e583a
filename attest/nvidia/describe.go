// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/attest/cert"
	"github.com/sotto-chat/sotto/attest/section"
)

// fieldNames are NVIDIA's names of the fields of opaque data, without their prefix.
var fieldNames = map[uint16][2]string{
	1:  {"CERT_ISSUER_NAME", "who certified the key that signed"},
	2:  {"CERT_AUTHORITY_KEY_IDENTIFIER", "with which key"},
	3:  {"DRIVER_VERSION", "the driver that started the GPU"},
	4:  {"GPU_INFO", "NVIDIA does not say; signed, and not judged"},
	5:  {"SKU", ""},
	6:  {"VBIOS_VERSION", "the firmware on the board"},
	7:  {"MANUFACTURER_ID", ""},
	8:  {"TAMPER_DETECTION", ""},
	9:  {"SMC", ""},
	10: {"VPR", ""},
	11: {"NVDEC0_STATUS", "the first video decoder: aa is on, 55 is off"},
	12: {"MSRSCNT", "how often each measurement was taken"},
	13: {"CPRINFO", "NVIDIA does not say; signed, and not judged"},
	14: {"BOARD_ID", "the board, as a number"},
	15: {"CHIP_SKU", "the chip's model; it is in the name of the VBIOS's list"},
	16: {"CHIP_SKU_MOD", "its variant"},
	17: {"PROJECT", "the board; it is in the name of the VBIOS's list"},
	18: {"PROJECT_SKU", "the board's model; likewise"},
	19: {"PROJECT_SKU_MOD", "its variant"},
	20: {"FWID", "the firmware that signed; the certificate must name the same"},
	21: {"PROTECTED_PCIE_STATUS", "aa is on, 55 is off"},
	22: {"SWITCH_PDI", "the switches that the GPU is linked to"},
	23: {"FLOORSWEPT_PORTS", ""},
	24: {"POSITION_ID", ""},
	25: {"LOCK_SWITCH_STATUS", ""},
	32: {"GPU_LINK_CONN", ""},
	33: {"SYS_ENABLE_STATUS", ""},
	34: {"OPAQUE_DATA_VERSION", ""},
	35: {"CHIP_INFO", "the kind of chip; it is in the name of the driver's list"},
	36: {"FEATURE_FLAG", "0 is one GPU passed through, 1 several with encrypted links, 2 several with open links (protected PCIe)"},
}

// Describe lists the fields of evidence, or of a single report as NVML gives it,
// for a person who looks at it without judging. The browser doesn't link it.
func Describe(data []byte) ([]attest.Field, error) {
	if len(data) > 0 && data[0] == requestHead[0] {
		r, err := ParseReport(data)
		if err != nil {
			return nil, err
		}
		return describeReport("", r), nil
	}
	s, err := section.Parse(data, Sections())
	if err != nil {
		return nil, err
	}
	reports, chains := s.All(KindReport), s.All(KindChain)
	if len(reports) != len(chains) {
		return nil, errors.New("there are not as many chains as reports")
	}
	var out []attest.Field
	for i := range reports {
		prefix := "gpu" + strconv.Itoa(i+1) + "."
		r, err := ParseReport(reports[i])
		if err != nil {
			return nil, err
		}
		chain, err := ParseChain(chains[i])
		if err != nil {
			return nil, err
		}
		g := gpu{report: r, chain: chain}
		out = append(out, attest.Field{Name: prefix + "device", Value: g.device(), Meaning: "the GPU's name, as a policy's chip_ids has it: the start of the hash of its own key"})
		out = append(out, describeReport(prefix, r)...)
		for k, c := range chain {
			out = append(out, describeCert(prefix+"certificate"+strconv.Itoa(k+1), c))
		}
		out = append(out, attest.Field{Name: prefix + "certificate1.fwid", Value: hex.EncodeToString(firmwareID(chain[leafCert])), Meaning: "the firmware that the boot ROM measured"})
	}
	for i, b := range s.All(KindTable) {
		t, err := ParseTable(b)
		if err != nil {
			return nil, err
		}
		prefix := "table" + strconv.Itoa(i+1) + "."
		out = append(out, attest.Field{Name: prefix + "digest", Value: TableDigest(b), Meaning: "how a policy pins it"},
			attest.Field{Name: prefix + "driver", Value: t.Driver, Meaning: "the driver that it is for"}, attest.Field{Name: prefix + "vbios", Value: t.VBIOS, Meaning: "the board's firmware that it is for"})
		for _, e := range t.Entries {
			for _, d := range e.Digests {
				f := attest.Field{Name: prefix + "measurement" + strconv.Itoa(int(e.Index)), Value: hex.EncodeToString(d)}
				if e.NVDEC0 {
					f.Meaning = "compared while the first video decoder is on"
				}
				out = append(out, f)
			}
		}
	}
	for i, b := range s.All(KindCRL) {
		c, err := cert.ParseCRL(b)
		if err != nil {
			return nil, err
		}
		out = append(out, attest.Field{Name: "crl" + strconv.Itoa(i+1), Value: day(c.ThisUpdate) + " to " + day(c.NextUpdate), Meaning: "valid"})
	}
	return out, nil
}

func describeReport(prefix string, r *Report) []attest.Field {
	out := []attest.Field{
		{Name: prefix + "nonce", Value: hex.EncodeToString(r.Nonce), Meaning: "what the asker chose"},
		{Name: prefix + "driver", Value: r.Driver, Meaning: "version of the driver, as a policy's min_driver has it"},
		{Name: prefix + "driver.list", Value: driverList(r), Meaning: "NVIDIA's name for the driver's measurements"},
		{Name: prefix + "vbios", Value: r.VBIOS, Meaning: "version of the firmware on the board, as a policy's min_vbios has it"},
		{Name: prefix + "vbios.list", Value: vbiosList(r), Meaning: "NVIDIA's name for that firmware's measurements"},
		{Name: prefix + "mode", Value: r.Mode, Meaning: "how GPUs are joined, as a policy's modes has it; none is a GPU that doesn't say"},
	}
	for _, f := range r.Fields {
		n := fieldNames[f.Type]
		if n[0] == "" {
			n[0] = "FIELD_" + strconv.Itoa(int(f.Type))
		}
		value := hex.EncodeToString(f.Value)
		if s, ok := letters(f.Value); ok && len(s) > 1 {
			value = s
		}
		out = append(out, attest.Field{Name: prefix + n[0], Value: value, Meaning: n[1]})
	}
	for i, m := range r.Measurements {
		out = append(out, attest.Field{Name: prefix + "measurement" + strconv.Itoa(i+1), Value: hex.EncodeToString(m), Meaning: measured(m)})
	}
	return out
}

func measured(m []byte) string {
	for _, c := range m {
		if c != 0 {
			return ""
		}
	}
	return "nothing measured"
}

// driverList is the name by which NVIDIA's service of reference measurements has
// those of a driver. Hopper's reports name no chip, and are all of GH100.
func driverList(r *Report) string {
	if chip, ok := letters(r.Field(FieldChipInfo)); ok {
		return "NV_GPU_CC_DRIVER_" + chip + "_" + r.Driver
	}
	return "NV_GPU_DRIVER_GH100_" + r.Driver
}

func vbiosList(r *Report) string {
	name := "NV_GPU_VBIOS"
	for _, typ := range [...]uint16{FieldProject, FieldProjectSKU, FieldChipSKU} {
		part, ok := letters(r.Field(typ))
		if !ok {
			return "" // the report doesn't say
		}
		name += "_" + part
	}
	return strings.ToUpper(name) + "_" + strings.ReplaceAll(r.VBIOS, ".", "")
}

func describeCert(name string, c *cert.Certificate) attest.Field {
	return attest.Field{Name: name, Value: c.SubjectName("2.5.4.3"), Meaning: "serial " + hex.EncodeToString(c.Serial) + ", " + day(c.NotBefore) + " to " + day(c.NotAfter)}
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02") }
