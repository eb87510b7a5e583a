// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/release"
	releasebuild "github.com/sotto-chat/sotto/release/build"
	"github.com/sotto-chat/sotto/tlog"
)

// releaseCommand makes, signs, publishes and reads releases.
func (a *app) releaseCommand(args []string) error {
	return a.oneOf("release", "make, sign, publish and read releases", releaseCommands, releaseHelp, args)
}

var releaseCommands = []command{
	{"build", "[-config FILE] (-log URL | -index N) [-time TIME] [--allow-dirty] [-o FILE]", "describe a release from its source, programs, models and configuration", (*app).releaseBuild},
	{"key", "new [-name NAME] FILE", "make a key that signs releases, and print its public half", (*app).releaseKey},
	{"sign", "[-key FILE] [-from FILE]... FILE", "sign the manifest in FILE, or take over the signatures of others", (*app).releaseSign},
	{"publish", "-log URL FILE", "write a signed release down in a public log", (*app).releasePublish},
	{"show", "[--json] FILE", "print a release", (*app).releaseShow},
	{"diff", "[--json] OLD NEW", "say in words how two releases differ", (*app).releaseDiff},
	{"verify", "-pin FILE [-log URL | -view FILE | -proof FILE] [-time TIME] [--json] FILE", "check a release's signatures, its place in the log, and that it is still good", (*app).releaseVerify},
	{"webcat", "-app URL [-timestamp FILE] FILE", "print the page of a release as a manifest of WEBCAT, to be signed with Sigsum", (*app).releaseWebCAT},
}

const releaseHelp = `
FILE is a manifest or a signed release; “-” is standard input. A release is named by
the digest of its manifest, which show and sign print. docs/verify-a-release.md says
how to build the same bytes again and compare them; spec/release.md says what a
manifest holds.

“verify” ends with 3 where the release did not prove itself, with 1 where the file is
no release, and with 2 where the command line was not understood.
`

// maxReleaseFile is the most bytes of a file that these commands read.
const maxReleaseFile = 1 << 20

// readReleaseFile reads a file, "-" meaning standard input.
func (a *app) readReleaseFile(name string) ([]byte, error) {
	var b []byte
	var err error
	if name == "-" {
		if b, err = io.ReadAll(io.LimitReader(a.in, maxReleaseFile+1)); err == nil && len(b) > maxReleaseFile {
			err = errors.New("standard input is too long")
		}
	} else {
		b, err = collateral.ReadFile(name, maxReleaseFile)
	}
	if err != nil {
		return nil, withHint(err, "")
	}
	return b, nil
}

// readRelease reads a signed release or a bare manifest, which has no signatures.
func (a *app) readRelease(name string) (release.Release, error) {
	b, err := a.readReleaseFile(name)
	if err != nil {
		return release.Release{}, err
	}
	r, err := parseRelease(b)
	if err != nil {
		return release.Release{}, withHint(fmt.Errorf("%s is no release: %w", name, err), "“sotto release build” makes one.")
	}
	return r, nil
}

func parseRelease(b []byte) (release.Release, error) {
	if !bytes.Contains(b, []byte("\n\n")) {
		m, err := release.ParseManifest(b)
		return release.Release{Manifest: m, Text: b}, err
	}
	r, err := release.Parse(b)
	if err == nil {
		return r, nil
	}
	return r, errors.New(strings.TrimPrefix(err.Error(), "release: "))
}

// releaseBuild describes a release.
func (a *app) releaseBuild(args []string) error {
	fs := a.flags()
	config := fs.String("config", "release.json", "read what it is made of from `FILE`")
	out := fs.String("o", "", "write the manifest to `FILE`; to standard output when not given")
	index := fs.Int64("index", -1, "the release is for entry `N` of the log, from 0")
	log := fs.String("log", "", "ask the log at `URL` which entry is next")
	dirty := fs.Bool("allow-dirty", false, "describe a source tree with changes that are in no commit; the release then names none")
	at := fs.String("time", "", "when it was described, as this `TIME`; that of the commit when not given")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := a.noArgs(rest); err != nil {
		return err
	}
	var when int64
	if *at != "" {
		t, err := parseTime(*at)
		if err != nil {
			return err
		}
		when = t.Unix()
	}
	if (*log == "") == (*index < 0) {
		return usageError("a release is for one place in the log, and this doesn’t say which", "give -log URL to ask the log for its next, or -index 0 for the first of a new log")
	}
	doc, err := collateral.ReadFile(*config, releasebuild.MaxConfig)
	if err != nil {
		return withHint(fmt.Errorf("the configuration can’t be read: %w", err), "docs/verify-a-release.md has one to start from; -config names the file")
	}
	c, err := releasebuild.ParseConfig(doc)
	if err != nil {
		return withHint(fmt.Errorf("the configuration in %s can’t be used: %w", *config, err), "docs/verify-a-release.md has one to start from.")
	}
	if *log != "" {
		if *index, err = nextEntry(*log); err != nil {
			return err
		}
	}
	ctx, stop := interruptible()
	defer stop()
	m, open, err := releasebuild.Make(ctx, c, releasebuild.Options{Folder: filepath.Dir(*config), Index: *index, Time: when, Dirty: *dirty})
	if err != nil {
		hint := ""
		if errors.As(err, new(*releasebuild.DirtyError)) {
			hint = "Commit it, so that others can build the same; or give --allow-dirty, and the release names no commit."
		}
		return withHint(fmt.Errorf("the release can’t be described: %w", err), hint)
	}
	text, err := m.Encode()
	if err != nil {
		return withHint(fmt.Errorf("the release can’t be described: %w", err), "")
	}
	for _, s := range open {
		a.say("%s", s)
	}
	if *out == "" {
		_, err = a.out.Write(text)
		return err
	}
	if err := replaceFile(*out, text, 0o644); err != nil {
		return withHint(err, "")
	}
	a.say("%s is release %s of %s, %s", *out, m.Version, m.Product, release.Digest(text))
	return nil
}

// releaseKey makes a key.
func (a *app) releaseKey(args []string) error {
	fs := a.flags()
	name := fs.String("name", "", "the key's `NAME`, which stands beside each signature; the file's name when not given")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 2 || rest[0] != "new" {
		return usageError("“sotto release key new” takes the file that the key goes to", "")
	}
	file := rest[1]
	if *name == "" {
		*name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	s, err := tlog.GenerateSigner(*name)
	if err != nil {
		return usageError("“"+*name+"” can’t be the name of a key", "It has no space and no plus, such as alice.example/releases.")
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return withHint(fmt.Errorf("%s is there already, and may be a key", file), "Nothing was written. Name another file.")
		}
		return withHint(err, "")
	}
	_, err = io.WriteString(f, s.Secret())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return withHint(err, "")
	}
	fmt.Fprintln(a.out, s.Key())
	a.say("the key is in %s; who has it can sign releases. What is printed is its public half, for the pins of clients", file)
	return nil
}

// releaseSign adds signatures to a release.
func (a *app) releaseSign(args []string) error {
	fs := a.flags()
	key := fs.String("key", "", "sign with the key in `FILE`")
	var from []string
	fs.Func("from", "take over the signatures in `FILE`, which must be over the same manifest; may be given again", func(s string) error {
		from = append(from, s)
		return nil
	})
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 || rest[0] == "-" {
		return usageError("“sotto release sign” takes the file of one manifest or release, which gets the signature", "")
	}
	if *key == "" && len(from) == 0 {
		return usageError("there is nothing to sign with", "give -key FILE; “sotto release key new FILE” makes one")
	}
	file := rest[0]
	r, err := a.readRelease(file)
	if err != nil {
		return err
	}
	signatures := slices.Clone(r.Signatures())
	add := func(s tlog.Signature) {
		same := func(x tlog.Signature) bool { return x.Name == s.Name && x.KeyID == s.KeyID }
		if !slices.ContainsFunc(signatures, same) {
			signatures = append(signatures, s)
		}
	}
	for _, name := range from {
		other, err := a.readRelease(name)
		if err != nil {
			return err
		}
		if !bytes.Equal(other.Text, r.Text) {
			return withHint(fmt.Errorf("%s is of another manifest than %s: its signatures say nothing about this one", name, file),
				"“sotto release diff "+file+" "+name+"” says how they differ. Nothing was written.")
		}
		for _, s := range other.Signatures() {
			add(s)
		}
	}
	if *key != "" {
		s, err := readSigner(*key)
		if err != nil {
			return err
		}
		add(s.Signature(r.Text))
	}
	signed := tlog.Note{Text: r.Text, Signatures: signatures}.Encode()
	if _, err := release.Parse(signed); err != nil {
		return withHint(fmt.Errorf("the signed release would be no release: %w", err), "Nothing was written.")
	}
	if err := replaceFile(file, signed, 0o644); err != nil {
		return withHint(err, "")
	}
	for _, s := range r.Manifest.LeavesOpen() {
		a.say("%s", s)
	}
	var names []string
	for _, s := range signatures {
		names = append(names, s.Name)
	}
	fmt.Fprintln(a.out, r.Digest())
	a.say("release %s of %s has signatures of %s", r.Manifest.Version, r.Manifest.Product, strings.Join(names, ", "))
	return nil
}

// readSigner reads a key file, which nobody else may be able to read.
func readSigner(file string) (tlog.Signer, error) {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return tlog.Signer{}, withHint(fmt.Errorf("the key in %s can be read by others", file), "If nobody did: chmod 600 "+file)
	}
	b, err := collateral.ReadFile(file, 4096)
	if err != nil {
		return tlog.Signer{}, withHint(err, "“sotto release key new FILE” makes a key.")
	}
	s, err := tlog.ParseSigner(string(b))
	if err != nil {
		return tlog.Signer{}, withHint(fmt.Errorf("%s holds no key that signs releases: %w", file, err), "“sotto release key new FILE” makes one.")
	}
	return s, nil
}

// logClient talks to a log. Nothing that it says is believed unchecked.
var logClient = &http.Client{Timeout: 30 * time.Second}

// callLog makes a request and returns what a log answered, of at most limit bytes.
func callLog(ctx context.Context, method, base, path string, body []byte, limit int64) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
	if err != nil || req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return 0, nil, usageError("“"+base+"” is no address of a log", "it looks like https://log.example or http://127.0.0.1:8782")
	}
	resp, err := logClient.Do(req)
	if err != nil {
		return 0, nil, withHint(fmt.Errorf("the log can’t be reached: %w", errors.Unwrap(err)), "Check the address, and that “sottod log” runs there.")
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return 0, nil, withHint(fmt.Errorf("the log broke off: %w", err), "")
	}
	if int64(len(answer)) > limit {
		return 0, nil, withHint(errors.New("the log’s answer is too long"), "Is this the address of a log?")
	}
	return resp.StatusCode, answer, nil
}

// askLog makes a request and returns the answer if it isn't a refusal.
func askLog(method, base, path string, body []byte, limit int64) ([]byte, error) {
	ctx, stop := interruptible()
	defer stop()
	status, b, err := callLog(ctx, method, base, path, body, limit)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		said, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
		if said == "" || len(said) > 500 {
			said = statusOf(status)
		}
		return nil, withHint(fmt.Errorf("the log refused: %s", said), "")
	}
	return b, nil
}

func statusOf(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// nextEntry asks a log for its size. What it says is not believed, only proposed:
// a release for another place than it gets doesn't count.
func nextEntry(base string) (int64, error) {
	b, err := askLog(http.MethodGet, base, "/checkpoint", nil, tlog.MaxNote)
	if err != nil {
		return 0, err
	}
	note, err := tlog.ParseNote(b)
	if err != nil {
		return 0, withHint(fmt.Errorf("the log’s checkpoint can’t be read: %w", err), "Is this the address of a log?")
	}
	c, err := tlog.ParseCheckpoint(note.Text)
	if err != nil {
		return 0, withHint(fmt.Errorf("the log’s checkpoint can’t be read: %w", err), "Is this the address of a log?")
	}
	return c.Size, nil
}

// releasePublish writes a release down in a log.
func (a *app) releasePublish(args []string) error {
	fs := a.flags()
	log := fs.String("log", "", "the log at `URL`")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 || rest[0] == "-" {
		return usageError("“sotto release publish” takes the file of one signed release", "")
	}
	if *log == "" {
		return usageError("it isn’t said which log", "give -log URL")
	}
	r, err := a.readRelease(rest[0])
	if err != nil {
		return err
	}
	if len(r.Signatures()) == 0 {
		return withHint(fmt.Errorf("%s is not signed", rest[0]), "“sotto release sign -key FILE "+rest[0]+"” signs it.")
	}
	entry := tlog.Note{Text: r.Text, Signatures: r.Signatures()}.Encode()
	proof, err := askLog(http.MethodPost, *log, "/add", entry, tlog.MaxProof)
	if err != nil {
		return err
	}
	p, err := tlog.ParseProof(proof)
	if err != nil {
		return withHint(fmt.Errorf("the log took it and sent back no proof: %w", err), "")
	}
	note, err := tlog.ParseNote(p.Checkpoint)
	if err != nil {
		return withHint(fmt.Errorf("the log took it and sent back no proof: %w", err), "")
	}
	c, err := tlog.ParseCheckpoint(note.Text)
	if err == nil {
		err = tlog.VerifyInclusion(p.Index, c.Size, tlog.LeafHash(entry), p.Hashes, c.Root)
	}
	if err != nil {
		return withHint(fmt.Errorf("the log’s proof doesn’t show that the release stands in it: %w", err), "")
	}
	file := rest[0] + ".proof"
	if err := replaceFile(file, proof, 0o644); err != nil {
		return withHint(err, "")
	}
	fmt.Fprintln(a.out, p.Index)
	a.say("release %s is entry %d of %s; the proof is in %s", r.Manifest.Version, p.Index, c.Origin, file)
	if p.Index != r.Manifest.Index {
		return withHint(fmt.Errorf("it was signed to be entry %d, so it doesn’t count", r.Manifest.Index), "Others were quicker. Build and sign it anew: “sotto release build -log URL”.")
	}
	return nil
}

// shownRelease is what show prints as JSON.
type shownRelease struct {
	Digest     string           `json:"digest"`
	Signatures []string         `json:"signatures"` // names of keys, unchecked
	Open       []string         `json:"open"`       // what it leaves open, as sentences
	Manifest   release.Manifest `json:"manifest"`
}

// releaseShow prints a release.
func (a *app) releaseShow(args []string) error {
	fs := a.flags()
	asJSON := fs.Bool("json", false, "print it as JSON")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usageError("“sotto release show” takes the file of one release", "")
	}
	r, err := a.readRelease(rest[0])
	if err != nil {
		return err
	}
	doc := shownRelease{Digest: r.Digest(), Signatures: []string{}, Open: append([]string{}, r.Manifest.LeavesOpen()...), Manifest: r.Manifest}
	for _, s := range r.Signatures() {
		doc.Signatures = append(doc.Signatures, s.Name)
	}
	if *asJSON {
		return json.NewEncoder(a.out).Encode(doc)
	}
	line := func(name, value string) {
		if value == "" {
			value = "–"
		}
		fmt.Fprintf(a.out, "%-16s %s\n", name, plain(value))
	}
	m := r.Manifest
	line("release", doc.Digest)
	line("signed by", strings.Join(doc.Signatures, ", "))
	line("product", m.Product)
	line("version", m.Version)
	line("commit", m.Commit)
	line("time", stamp(m.Time))
	line("entry", strconv.FormatInt(m.Index, 10))
	line("toolchain", m.Toolchain)
	line("revokes", "below "+m.MinimumVersion)
	for _, d := range m.Revoked {
		line("", d)
	}
	// All else as the differences to nothing.
	for _, c := range release.Diff(release.Manifest{Product: m.Product, Version: m.Version, Commit: m.Commit, Time: m.Time, Index: m.Index,
		Toolchain: m.Toolchain, MinimumVersion: m.MinimumVersion, Revoked: m.Revoked}, m) {
		line(c.Part, c.Name+" "+c.New)
	}
	for _, s := range doc.Open {
		line("leaves open", s)
	}
	return nil
}

// releaseDiff says how two releases differ.
func (a *app) releaseDiff(args []string) error {
	fs := a.flags()
	asJSON := fs.Bool("json", false, "print it as JSON")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 2 {
		return usageError("“sotto release diff” takes the files of two releases, the older first", "")
	}
	before, err := a.readRelease(rest[0])
	if err != nil {
		return err
	}
	after, err := a.readRelease(rest[1])
	if err != nil {
		return err
	}
	changes := release.Diff(before.Manifest, after.Manifest)
	if *asJSON {
		return json.NewEncoder(a.out).Encode(append([]release.Change{}, changes...))
	}
	for _, c := range changes {
		fmt.Fprintln(a.out, plain(c.Text))
	}
	if len(changes) == 0 {
		a.say("both are release %s", before.Digest())
	}
	return nil
}
