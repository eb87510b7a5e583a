// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdx

import "slices"

// status is Intel's judgement of a level of firmware.
type status int

const (
	unknown status = iota // no level fits
	upToDate
	swHardening // fine, if the software inside does its part
	configuration
	configurationSWHardening
	outOfDate
	outOfDateConfiguration
	revoked
	// The next two are of no level: TDX 1.5 can renew its module under a running
	// machine, which then was started by an old one and runs on a new one.
	relaunch
	relaunchConfiguration
)

// statusNames are those of the PCS API, and of Intel's QVL for the last two.
var statusNames = [...]string{
	"Unknown", "UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
	"OutOfDate", "OutOfDateConfigurationNeeded", "Revoked",
	"TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded",
}

func (s status) String() string { return statusNames[s] }

// statusOf returns the status that Intel's documents call by a name.
func statusOf(name string) (status, bool) {
	i := slices.Index(statusNames[:relaunch], name)
	return status(i), i > int(unknown)
}

// standing is how a machine's firmware stands by Intel's documents.
type standing struct {
	status     status
	advisories []string // of all levels that count, each once
	module     status   // of the TDX module; upToDate for those before there was a list
	qe         status
}

// stand compares the levels of a machine with Intel's lists, as Intel's quote
// verification library does (QVL, checkTcbLevel, checkTdxModuleTcbStatus and
// checkForRelaunch; PCS API, "How to determine TCB status").
//
// A platform's first level counts whose 16 SGX parts and PCE are not above those
// in the certificate, and whose TDX parts are not above those in the quote. The
// TDX module and the quoting enclave have levels of their own, and can only make
// the result worse.
func stand(t *tcbInfo, id *qeIdentity, q *quote) standing {
	s := standing{module: upToDate}
	s.qe = s.levelOf(id.levels, q.qe.svn)
	svn := q.body.teeTCBSVN
	var sgxLevel, tdxLevel *level
	for i := range t.levels {
		l := &t.levels[i]
		if !atLeast(q.pck.svn[:], l.sgx[:]) || q.pck.pceSVN < l.pceSVN {
			continue
		}
		if sgxLevel == nil {
			sgxLevel = l
		}
		// From version 1 on a module has its own levels instead of the first two parts.
		from := 0
		if svn[1] > 0 {
			from = 2
		}
		if atLeast(svn[from:], l.tdx[from:]) {
			tdxLevel = l
			break
		}
	}
	if tdxLevel == nil {
		return s
	}
	s.add(tdxLevel.advisories)
	if svn[1] > 0 {
		m := t.moduleOf(svn[1])
		if m == nil {
			s.module = unknown
			return s
		}
		s.module = s.levelOf(m.levels, uint16(svn[0]))
	}
	s.status = worse(tdxLevel.status, s.module)
	if q.td15 && s.qe == upToDate && s.module == outOfDate {
		s.status = relaunched(t, sgxLevel.status, s.status, q.body.teeTCBSVN2)
	}
	s.status = worse(s.status, s.qe)
	return s
}

func atLeast(have, want []byte) bool {
	for i := range have {
		if have[i] < want[i] {
			return false
		}
	}
	return true
}

// add takes advisories in that aren't there yet.
func (s *standing) add(list []string) {
	for _, a := range list {
		if !slices.Contains(s.advisories, a) {
			s.advisories = append(s.advisories, a)
		}
	}
}

// levelOf returns the status of the first level that isn't above svn.
func (s *standing) levelOf(levels []enclaveLevel, svn uint16) status {
	for _, l := range levels {
		if svn >= l.svn {
			s.add(l.advisories)
			return l.status
		}
	}
	return unknown
}

// worse joins the status of a platform with that of a part, which is up to
// date, out of date or revoked.
func worse(platform, part status) status {
	switch part {
	case upToDate:
		return platform
	case outOfDate:
		switch platform {
		case upToDate, swHardening:
			return outOfDate
		case configuration, configurationSWHardening:
			return outOfDateConfiguration
		}
		return platform
	case revoked:
		return revoked
	}
	return unknown
}

// relaunched sees whether a machine that was started by a TDX module that is out
// of date runs on one now that is not: svn2 is the module of today. sgx is the
// status of the platform's level without its TDX parts.
func relaunched(t *tcbInfo, sgx, now status, svn2 []byte) status {
	switch sgx {
	case upToDate, swHardening, configuration, configurationSWHardening:
	default:
		return now
	}
	if now != outOfDate && now != outOfDateConfiguration {
		return now
	}
	newest := &t.levels[0]
	want := newest.tdx[0]
	if svn2[1] > 0 {
		m := t.moduleOf(svn2[1])
		if m == nil {
			return unknown
		}
		if uint16(svn2[0]) < m.levels[0].svn {
			return now
		}
		want = 0
	}
	if svn2[0] < want || svn2[2] < newest.tdx[2] {
		return now
	}
	if now == outOfDateConfiguration || sgx == configuration || sgx == configurationSWHardening {
		return relaunchConfiguration
	}
	return relaunch
}
