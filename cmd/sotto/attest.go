// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/evidencefile"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// attestCommand judges or prints evidence out of a file, of any system's machine.
func (a *app) attestCommand(args []string) error {
	const hint = "“sotto attest verify FILE” judges it, “sotto attest show FILE” prints what is in it; “sotto help attest” says more"
	if len(args) == 0 {
		return usageError("“sotto attest” needs to know what to do", hint)
	}
	of := func(args, short string) {
		a.command.name, a.command.args, a.command.short = "attest "+args, furtherArgs, short
	}
	switch args[0] {
	case "verify":
		of("verify", "judge evidence out of a file")
		a.command.args = "[--policy FILE] [--time TIME] [--report-data HEX] [-v] " + a.command.args
		return a.attestVerify(args[1:])
	case "show":
		of("show", "print what is in evidence, and judge nothing")
		return a.attestShow(args[1:])
	case "policy":
		of("policy", "print a first policy that fits evidence")
		return a.attestPolicy(args[1:])
	case "table":
		of("table", "make a table of NVIDIA’s two signed lists of measurements")
		a.command.args = "[--time TIME] DRIVER.xml VBIOS.xml"
		return a.attestTable(args[1:])
	case "-h", "-help", "--help":
		fs := a.flags()
		addEvidenceFlags(fs)
		addVerifyFlags(fs)
		a.help(a.out, a.command, fs)
		fmt.Fprint(a.out, attestHelp)
		return nil
	}
	return usageError("there is no “sotto attest "+args[0]+"”", hint)
}

const furtherArgs = "[--cert FILE]... [--collateral DIR] [--json] [EVIDENCE]"

const attestHelp = `
EVIDENCE is a file, or standard input: a report of AMD SEV-SNP, a quote of Intel TDX or
of a TPM, a report of an NVIDIA GPU, of any system’s machine, or a bundle of Sotto’s;
as bytes, hex, base64 or PEM. Nothing is fetched and nothing is sent.

  sotto attest show report.bin                      every field, and what it means
  sotto attest verify --collateral DIR report.bin   signature, chain, revocation, firmware
  sotto attest policy report.bin > policy.json      what this machine runs, as a policy
  sotto attest verify --policy policy.json …        whether a machine runs just that
  sotto attest table driver.xml vbios.xml > table   NVIDIA’s lists as a machine sends them

“verify” ends with 0 where nothing is wrong, with 3 where the machine did not prove
itself or something is missing to tell, with 1 where the file is no evidence, and with
2 where the command line was not understood. docs/hardware.md says where certificates
and lists come from.
`

// hintFiles is for those who gave too few files, or the wrong ones.
const hintFiles = "docs/hardware.md says which files there are and where they come from"

var errNoPolicy = errors.New("nothing here is of hardware that a policy could pin")

func badBundle(err error) error {
	return fmt.Errorf("a bundle here is not in the agreed form: %w", err)
}

func unreadable(platform string, err error) error {
	return withHint(fmt.Errorf("the evidence of %s can’t be read: %w", platform, err), "")
}

// evidenceFlags are the flags that both commands take.
type evidenceFlags struct {
	further    []string // files
	collateral string   // folder
	json       bool
}

func addEvidenceFlags(fs *flag.FlagSet) *evidenceFlags {
	e := &evidenceFlags{}
	fs.Func("cert", "a further `FILE` that belongs to the evidence: certificates, revocation lists, what makers publish, a TPM’s key, signature or log; may be given again", func(s string) error {
		e.further = append(e.further, s)
		return nil
	})
	fs.StringVar(&e.collateral, "collateral", "", "the folder `DIR` of such files, or with a folder in it for each of snp, tdx, tpm, nvidia")
	fs.BoolVar(&e.json, "json", false, "print it as JSON")
	return e
}

type verifyFlags struct {
	policy, at, reportData *string
	details                *bool
}

func addVerifyFlags(fs *flag.FlagSet) verifyFlags {
	return verifyFlags{
		policy:     fs.String("policy", "", "a `FILE` that says what to accept; without one nothing is asked of the software"),
		at:         fs.String("time", "", "judge as of this `TIME`: 2026-01-31, 2026-01-31T12:00:00Z, or Unix seconds; now when not given"),
		reportData: fs.String("report-data", "", "what the hardware must have signed, in `HEX`; shorter than 64 bytes is filled up with zeros"),
		details:    fs.Bool("v", false, "show what was wanted and found, and every field"),
	}
}

// read reads the evidence in a file, "-" or none meaning standard input, and what
// belongs to it.
func (e *evidenceFlags) read(a *app, rest []string) (f evidencefile.File, further []collateral.File, err error) {
	var b []byte
	switch {
	case len(rest) > 1:
		return f, nil, usageError("it takes one file of evidence", "what belongs to it is given with --cert")
	case len(rest) == 0 || rest[0] == "-":
		if len(rest) == 0 && isTerminal(a.in) {
			return f, nil, usageError("there is no evidence to look at", "name its file, or “-” for standard input")
		}
		b, err = io.ReadAll(io.LimitReader(a.in, evidencefile.MaxFile+1))
	default:
		b, err = collateral.ReadFile(rest[0], evidencefile.MaxFile)
	}
	if err != nil {
		return f, nil, withHint(err, "")
	}
	if f, err = evidencefile.Read(b); err != nil {
		return f, nil, withHint(err, "")
	}
	for _, name := range e.further {
		b, err := collateral.ReadFile(name, collateral.MaxSize)
		if err != nil {
			return f, nil, withHint(err, "")
		}
		further = append(further, collateral.File{Name: name, Data: b})
	}
	if e.collateral != "" {
		if _, err := os.ReadDir(e.collateral); err != nil {
			return f, nil, withHint(err, "--collateral names a folder; a single file is given with --cert")
		}
		for _, platform := range append(f.Platforms(), "") {
			files, err := collateral.Read(e.collateral, platform)
			if err != nil {
				return f, nil, withHint(err, "")
			}
			further = append(further, files...)
		}
	}
	return f, further, nil
}

// attestVerify judges evidence out of a file.
func (a *app) attestVerify(args []string) error {
	fs := a.flags()
	ev := addEvidenceFlags(fs)
	flags := addVerifyFlags(fs)
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	now, err := parseTime(*flags.at)
	if err != nil {
		return err
	}
	wanted, err := parseReportData(*flags.reportData)
	if err != nil {
		return err
	}
	var policy attest.Policy
	if *flags.policy != "" {
		if policy, err = readPolicy(*flags.policy, a.platforms); err != nil {
			return err
		}
	}
	f, further, err := ev.read(a, rest)
	if err != nil {
		return err
	}
	if wanted != nil && len(f.Bundles) > 0 {
		return usageError("what a bundle’s hardware must have signed follows from the key in it", "leave --report-data out; “sotto attest show” prints it as report_data")
	}
	var verdicts []attest.Verdict
	for _, b := range f.Bundles {
		_, v := attest.Verify(b, policy, now, a.platforms...)
		verdicts = append(verdicts, v)
	}
	var pieces []attest.Evidence
	if len(f.Pieces) > 0 {
		if pieces, err = f.Evidence(further, now); err != nil {
			return withHint(err, hintFiles)
		}
		verdicts = append(verdicts, attest.Examine(pieces, wanted, policy, now, a.platforms...))
	}
	worst := error(nil)
	for i, v := range verdicts {
		if ev.json {
			if err := json.NewEncoder(a.out).Encode(v); err != nil {
				return err
			}
		} else {
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			a.printJudgement(v, *flags.details)
			if i >= len(f.Bundles) {
				a.printFields(pieces, *flags.details)
			}
		}
		if stateMarks[v.State] == attest.StatusFail {
			worst = &failure{nil, attestHint(v, len(f.Bundles) > 0), exitNotVerified}
		}
	}
	return worst
}

// printJudgement prints a line for each check, and under those that failed what
// was wanted and found.
func (a *app) printJudgement(v attest.Verdict, details bool) {
	if v.Node != "" {
		fmt.Fprintf(a.out, "machine %s\n", plain(v.Node))
	}
	if v.Chip != "" {
		fmt.Fprintf(a.out, "chip %s\n", plain(v.Chip))
	}
	for _, row := range v.Checks {
		if len(row.Parts) == 0 && v.Node == "" && (row.ID == attest.RowLog || row.ID == attest.RowPage) {
			continue // they speak of Sotto's own machines
		}
		a.printCheck("", row)
		for _, p := range row.Parts {
			a.printCheck("      ", p)
			if details || p.Status == attest.StatusFail {
				a.printFound("              ", p)
			}
		}
	}
	fmt.Fprintf(a.out, "%-5s %s\n", mark(stateMarks[v.State]), plain(v.Summary))
}

func (a *app) printFields(pieces []attest.Evidence, details bool) {
	if !details {
		return
	}
	for _, e := range pieces {
		fmt.Fprintln(a.out)
		if err := a.printEvidence(e); err != nil {
			a.say("%v", err)
		}
	}
}

// attestHint says what to do about what is missing: machines' evidence is often
// judged by people who never saw what their makers publish.
func attestHint(v attest.Verdict, bundle bool) string {
	for _, row := range v.Checks {
		for _, p := range row.Parts {
			if p.Failure == attest.FailSoftwareRefused {
				return "For a demo that you started yourself, give --policy with a file that says {\"allow_software\":true}."
			}
			if p.Platform == "tpm" && p.Failure == attest.FailChainUntrusted {
				return "No maker stands behind all TPMs, so a policy says which keys or authorities count: “sotto attest policy” prints one that names this key."
			}
			if p.Failure == attest.FailSignatureInvalid && !bundle && (p.ID == "chip.tcb_info" || p.ID == "chip.qe_identity") {
				return "Intel sends the certificates of who signed its documents in a header of its answer: save them too and give them with --cert or --collateral; docs/hardware.md has the lines."
			}
			if p.Failure != attest.FailCollateralMissing && p.Failure != attest.FailCollateralExpired {
				continue
			}
			if bundle {
				return "A bundle has to hold all that it takes to judge it: whoever runs the machine refreshes it as docs/hardware.md says."
			}
			return collateralHints[p.Platform]
		}
	}
	return ""
}

var collateralHints = map[string]string{
	"snp":    "Fetch the chip’s certificate, AMD’s chain and its revocation list from kdsintf.amd.com and give them with --cert or --collateral; docs/hardware.md has the lines.",
	"tdx":    "Fetch the TCB info, the QE identity and the revocation lists from api.trustedservices.intel.com and give them with --cert or --collateral; docs/hardware.md has the lines.",
	"tpm":    "Give the certificates of the TPM’s key, its signature and its log with --cert; docs/hardware.md says where they are.",
	"nvidia": "Give the GPU’s chain of certificates and NVIDIA’s lists with --cert or --collateral; docs/hardware.md has the lines.",
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError("“"+s+"” is no time", "a time looks like 2026-01-31 or 2026-01-31T12:00:00Z")
}

func parseReportData(s string) (*[64]byte, error) {
	if s == "" {
		return nil, nil
	}
	var rd [64]byte
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil || len(b) == 0 || len(b) > len(rd) {
		return nil, usageError("the report data is not 1 to 64 bytes in hex", "it is what the machine asked its hardware to sign, such as a nonce: 128 hex digits, or fewer from the left")
	}
	copy(rd[:], b)
	return &rd, nil
}

// shown is what "sotto attest show --json" prints of a piece of evidence.
type shown struct {
	Platform string         `json:"platform"`
	Fields   []attest.Field `json:"fields,omitempty"`
	Error    string         `json:"error,omitempty"`
}

// shownBundle is what it prints of a bundle.
type shownBundle struct {
	KeyID      string           `json:"key_id"`
	ReportData string           `json:"report_data"`
	KeyConfig  attest.KeyConfig `json:"key_config"`
	Evidence   []shown          `json:"evidence"`
}

// attestShow prints every field of evidence without judging it.
func (a *app) attestShow(args []string) error {
	fs := a.flags()
	ev := addEvidenceFlags(fs)
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	f, further, err := ev.read(a, rest)
	if err != nil {
		return err
	}
	pieces, err := f.Evidence(further, time.Now())
	if missing := (evidencefile.MissingError)(""); errors.As(err, &missing) {
		a.say("%v", err)
		pieces, err = f.Bare(), nil
	}
	if err != nil {
		return withHint(err, hintFiles)
	}
	doc := struct {
		Bundles  []shownBundle `json:"bundles,omitempty"`
		Evidence []shown       `json:"evidence,omitempty"`
	}{Evidence: a.show(pieces)}
	failed := error(nil)
	for _, b := range f.Bundles {
		bundle, err := attest.ParseBundle(b)
		if err != nil {
			failed = withHint(badBundle(err), "")
			continue
		}
		config, err := attest.ParseKeyConfig(bundle.KeyConfig)
		if err != nil {
			failed = withHint(fmt.Errorf("a key’s description here is not in the agreed form: %w", err), "")
		}
		id, rd := attest.KeyID(bundle.KeyConfig), attest.ReportData(bundle.KeyConfig)
		doc.Bundles = append(doc.Bundles, shownBundle{
			KeyID: hex.EncodeToString(id[:]), ReportData: hex.EncodeToString(rd[:]), KeyConfig: config, Evidence: a.show(bundle.Evidence),
		})
	}
	if ev.json {
		return errors.Join(json.NewEncoder(a.out).Encode(doc), failed)
	}
	for i, b := range doc.Bundles {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		a.printConfig(b)
		for _, s := range b.Evidence {
			fmt.Fprintln(a.out)
			failed = errors.Join(failed, a.printShown(s))
		}
	}
	for i, s := range doc.Evidence {
		if i > 0 || len(doc.Bundles) > 0 {
			fmt.Fprintln(a.out)
		}
		failed = errors.Join(failed, a.printShown(s))
	}
	return failed
}

func (a *app) show(pieces []attest.Evidence) (out []shown) {
	for _, e := range pieces {
		s := shown{Platform: e.Platform}
		fields, err := describe(e)
		if err != nil {
			s.Error = err.Error()
		}
		s.Fields = fields
		out = append(out, s)
	}
	return out
}

func (a *app) printEvidence(e attest.Evidence) error {
	return a.printShown(a.show([]attest.Evidence{e})[0])
}

func (a *app) printShown(s shown) error {
	fmt.Fprintf(a.out, "evidence of %s\n", plain(s.Platform))
	if s.Error != "" {
		return unreadable(s.Platform, errors.New(s.Error))
	}
	a.printTable(s.Fields)
	return nil
}

func (a *app) printConfig(b shownBundle) {
	c := b.KeyConfig
	f := []attest.Field{
		{Name: "key_id", Value: b.KeyID, Meaning: "by which sealed requests name the key"},
		{Name: "report_data", Value: b.ReportData, Meaning: "what the hardware must have signed"},
		{Name: "node", Value: c.Node, Meaning: "the machine’s name, new at each start"},
		{Name: "suite", Value: c.Suite, Meaning: "how requests are sealed to the key"},
		{Name: "not_before", Value: stamp(c.NotBefore), Meaning: "when the key was made"},
		{Name: "not_after", Value: stamp(c.NotAfter), Meaning: "when it is erased"},
		{Name: "release", Value: c.Release, Meaning: "which release the machine says it runs"},
		{Name: "anchor", Value: c.Anchor, Meaning: "newest checkpoint of the public log that it saw"},
	}
	for _, m := range c.Models {
		f = append(f, attest.Field{Name: "model", Value: m.ID + " " + m.Digest, Meaning: "a model that the machine says it serves"})
	}
	fmt.Fprintln(a.out, "bundle")
	a.printTable(f)
}

// printTable prints fields so that they can be read in a narrow terminal: long
// values get a line of their own.
func (a *app) printTable(fields []attest.Field) {
	width := 0
	for _, f := range fields {
		width = max(width, len(f.Name))
	}
	width = min(width, 28)
	for _, f := range fields {
		value := f.Value
		if value == "" {
			value = "–"
		}
		line := fmt.Sprintf("  %-*s  %s", width, f.Name, value)
		switch {
		case f.Meaning == "":
		case len(line)+len(f.Meaning) < 96:
			line += "  (" + f.Meaning + ")"
		default:
			line += fmt.Sprintf("\n  %-*s  (%s)", width, "", f.Meaning)
		}
		fmt.Fprintln(a.out, plain(line))
	}
}

func stamp(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05 UTC")
}
