// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// document is a JSON document as Intel's provisioning service serves it:
//
//	{"<name>":{…},"signature":"<128 hex digits>"}
//
// The signature is of the exact bytes of the inner object, so the outer one is not
// parsed but compared: there is one way to write it.
type document struct {
	body         []byte
	signature    []byte // r ‖ s
	issued, next int64  // Unix seconds
	evaluation   int    // tcbEvaluationDataNumber: counts Intel's reactions to new attacks
}

// maxCommas bounds what becomes of a document in memory and time before it is known
// who signed it. Intel's longest have some two thousand.
const maxCommas = 1 << 15

func parseDocument(raw []byte, name string) (d document, err error) {
	const sig = `,"signature":"`
	head := `{"` + name + `":`
	tail := len(raw) - len(sig) - 128 - len(`"}`)
	bad := errors.New("Intel's document “" + name + "” is not in the form in which Intel serves it")
	if tail <= len(head) || string(raw[:len(head)]) != head ||
		string(raw[tail:tail+len(sig)]) != sig || string(raw[len(raw)-2:]) != `"}` ||
		bytes.Count(raw, []byte{','}) > maxCommas {
		return d, bad
	}
	d.body = raw[len(head):tail]
	if d.signature, err = hex.DecodeString(string(raw[tail+len(sig) : len(raw)-2])); err != nil {
		return d, bad
	}
	return d, nil
}

// dates reads the times between which a document counts.
func (d *document) dates(issued, next string) bool {
	const form = "2006-01-02T15:04:05Z"
	a, err1 := time.Parse(form, issued)
	b, err2 := time.Parse(form, next)
	d.issued, d.next = a.Unix(), b.Unix()
	return err1 == nil && err2 == nil
}

// moduleIdentity says who may have made a TDX module, and how new it must be.
type moduleIdentity struct {
	version    byte // the major version; 0 of the identity outside the list
	mrSigner   []byte
	attributes []byte
	attrMask   []byte
	levels     []enclaveLevel
}

// enclaveLevel is one level of a module or an enclave.
type enclaveLevel struct {
	svn        uint16
	status     status
	advisories []string
}

// level is one level of a platform.
type level struct {
	sgx, tdx   [16]byte
	pceSVN     uint16
	status     status
	advisories []string
}

// tcbInfo is what Intel says of all machines of one model (PCS API, TCB info of
// version 3).
type tcbInfo struct {
	document
	fmspc, pceID []byte
	module       moduleIdentity
	modules      []moduleIdentity
	levels       []level
}

// maxAdvisories bounds the advisories of one level.
const maxAdvisories = 256

// advisories keeps the names of a list that look like Intel's: "INTEL-SA-00615".
// They are shown to people before their signature is known to be right.
func advisories(list []string) ([]string, bool) {
	if len(list) > maxAdvisories {
		return nil, false
	}
	for _, a := range list {
		if a == "" || len(a) > 32 || strings.Trim(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return nil, false
		}
	}
	return list, true
}

// component is one of the 16 parts of a level. Its other fields are words.
type component struct {
	SVN uint8 `json:"svn"`
}

func components(list []component) (out [16]byte, ok bool) {
	if len(list) != len(out) {
		return out, false
	}
	for i, c := range list {
		out[i] = c.SVN
	}
	return out, true
}

type enclaveLevelJSON struct {
	TCB struct {
		ISVSVN *uint16 `json:"isvsvn"`
	} `json:"tcb"`
	Status     string   `json:"tcbStatus"`
	Advisories []string `json:"advisoryIDs"`
}

func enclaveLevels(list []enclaveLevelJSON) (out []enclaveLevel, ok bool) {
	for _, l := range list {
		a, ok1 := advisories(l.Advisories)
		s, ok2 := statusOf(l.Status)
		if !ok1 || !ok2 || l.TCB.ISVSVN == nil {
			return nil, false
		}
		out = append(out, enclaveLevel{*l.TCB.ISVSVN, s, a})
	}
	return out, len(out) > 0
}

// fixedHex decodes exactly n bytes.
func fixedHex(s string, n int) ([]byte, bool) {
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) == n
}

type moduleJSON struct {
	ID         string             `json:"id"`
	MRSigner   string             `json:"mrsigner"`
	Attributes string             `json:"attributes"`
	AttrMask   string             `json:"attributesMask"`
	Levels     []enclaveLevelJSON `json:"tcbLevels"`
}

func (j *moduleJSON) identity() (m moduleIdentity, ok bool) {
	var ok1, ok2, ok3 bool
	m.mrSigner, ok1 = fixedHex(j.MRSigner, 48)
	m.attributes, ok2 = fixedHex(j.Attributes, 8)
	m.attrMask, ok3 = fixedHex(j.AttrMask, 8)
	return m, ok1 && ok2 && ok3
}

// parseTCBInfo reads a TCB info. Fields that aren't known are passed over, since
// Intel adds some without a new version; all that is read here must be there.
func parseTCBInfo(raw []byte) (*tcbInfo, error) {
	bad := errors.New("Intel's list of firmware levels is not of a form that is known")
	d, err := parseDocument(raw, "tcbInfo")
	if err != nil {
		return nil, err
	}
	var j struct {
		ID         string       `json:"id"`
		Version    int          `json:"version"`
		Issued     string       `json:"issueDate"`
		Next       string       `json:"nextUpdate"`
		FMSPC      string       `json:"fmspc"`
		PCEID      string       `json:"pceId"`
		Type       *int         `json:"tcbType"`
		Evaluation *int         `json:"tcbEvaluationDataNumber"`
		Module     moduleJSON   `json:"tdxModule"`
		Modules    []moduleJSON `json:"tdxModuleIdentities"`
		Levels     []struct {
			TCB struct {
				SGX    []component `json:"sgxtcbcomponents"`
				PCESVN *uint16     `json:"pcesvn"`
				TDX    []component `json:"tdxtcbcomponents"`
			} `json:"tcb"`
			Status     string   `json:"tcbStatus"`
			Advisories []string `json:"advisoryIDs"`
		} `json:"tcbLevels"`
	}
	if json.Unmarshal(d.body, &j) != nil {
		return nil, bad
	}
	if j.ID != "TDX" || j.Version != 3 || j.Type == nil || *j.Type != 0 {
		return nil, errors.New("Intel's list of firmware levels is of another technology or version")
	}
	t := &tcbInfo{document: d}
	var ok1, ok2, ok3 bool
	t.fmspc, ok1 = fixedHex(j.FMSPC, 6)
	t.pceID, ok2 = fixedHex(j.PCEID, 2)
	t.module, ok3 = j.Module.identity()
	if !t.dates(j.Issued, j.Next) || !ok1 || !ok2 || !ok3 || j.Evaluation == nil || len(j.Levels) == 0 {
		return nil, bad
	}
	t.evaluation = *j.Evaluation
	for _, m := range j.Modules {
		i, ok1 := m.identity()
		v, ok2 := fixedHex(strings.TrimPrefix(m.ID, "TDX_"), 1)
		var ok3 bool
		i.levels, ok3 = enclaveLevels(m.Levels)
		if !ok1 || !ok2 || !ok3 || t.moduleOf(v[0]) != nil {
			return nil, bad
		}
		i.version = v[0]
		t.modules = append(t.modules, i)
	}
	for _, l := range j.Levels {
		var p level
		var ok1, ok2, ok3, ok4 bool
		p.sgx, ok1 = components(l.TCB.SGX)
		p.tdx, ok2 = components(l.TCB.TDX)
		p.advisories, ok3 = advisories(l.Advisories)
		p.status, ok4 = statusOf(l.Status)
		if !ok1 || !ok2 || !ok3 || !ok4 || l.TCB.PCESVN == nil {
			return nil, bad
		}
		p.pceSVN = *l.TCB.PCESVN
		t.levels = append(t.levels, p)
	}
	return t, nil
}

// moduleOf returns the identity of modules of a major version, or nil. Version 0
// came before there was a list and stands outside it.
func (t *tcbInfo) moduleOf(version byte) *moduleIdentity {
	for i := range t.modules {
		if t.modules[i].version == version {
			return &t.modules[i]
		}
	}
	return nil
}

// qeIdentity is what Intel says of its quoting enclave (PCS API, enclave identity
// of version 2).
type qeIdentity struct {
	document
	miscSelect, miscMask []byte // 4
	attributes, attrMask []byte // 16
	mrSigner             []byte // 32
	prodID               uint16
	levels               []enclaveLevel
}

func parseQEIdentity(raw []byte) (*qeIdentity, error) {
	bad := errors.New("Intel's description of what signs reports is not of a form that is known")
	d, err := parseDocument(raw, "enclaveIdentity")
	if err != nil {
		return nil, err
	}
	var j struct {
		ID         string             `json:"id"`
		Version    int                `json:"version"`
		Issued     string             `json:"issueDate"`
		Next       string             `json:"nextUpdate"`
		Evaluation *int               `json:"tcbEvaluationDataNumber"`
		MiscSelect string             `json:"miscselect"`
		MiscMask   string             `json:"miscselectMask"`
		Attributes string             `json:"attributes"`
		AttrMask   string             `json:"attributesMask"`
		MRSigner   string             `json:"mrsigner"`
		ProdID     *uint16            `json:"isvprodid"`
		Levels     []enclaveLevelJSON `json:"tcbLevels"`
	}
	if json.Unmarshal(d.body, &j) != nil {
		return nil, bad
	}
	if j.ID != "TD_QE" || j.Version != 2 {
		return nil, errors.New("Intel's description of what signs reports is of another technology or version")
	}
	q := &qeIdentity{document: d}
	var ok [6]bool
	q.miscSelect, ok[0] = fixedHex(j.MiscSelect, 4)
	q.miscMask, ok[1] = fixedHex(j.MiscMask, 4)
	q.attributes, ok[2] = fixedHex(j.Attributes, 16)
	q.attrMask, ok[3] = fixedHex(j.AttrMask, 16)
	q.mrSigner, ok[4] = fixedHex(j.MRSigner, 32)
	q.levels, ok[5] = enclaveLevels(j.Levels)
	if !q.dates(j.Issued, j.Next) || slices.Contains(ok[:], false) || j.Evaluation == nil || j.ProdID == nil {
		return nil, bad
	}
	q.evaluation, q.prodID = *j.Evaluation, *j.ProdID
	return q, nil
}

// masked reports whether value, where mask has bits, is want.
func masked(value, mask, want []byte) bool {
	v := bytes.Clone(value)
	for i := range v {
		v[i] &= mask[i]
	}
	return bytes.Equal(v, want)
}

func itoa(n int) string { return strconv.Itoa(n) }
