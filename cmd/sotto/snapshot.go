// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/livesite"
	"github.com/sotto-chat/sotto/cmd/sotto/internal/proofzip"
	"github.com/sotto-chat/sotto/release"
	releasebuild "github.com/sotto-chat/sotto/release/build"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/web"
)

// snapshot is all that “sotto verify” judges by: what the server answered, when, and
// what this program knew beforehand. Judging it again gives the same report, so it
// can be kept, and looked at where there is no network.
type snapshot struct {
	server   string
	at       int64 // Unix seconds: the time that everything is judged for
	software bool  // demo hardware is accepted
	policy   []byte
	seen     []byte // how far the public log was seen before
	program  program
	nonce    *[32]byte // of --fresh
	freshErr error     // why there is no fresh proof, or not of all
	bundles  map[string][]byte

	live     client.Transport // nil offline
	remember func([]byte)     // keeps how far the log was seen

	mu      sync.Mutex
	answers map[string]answer // by path
}

// answer is what came for one path.
type answer struct {
	Status int         `json:"status"` // 0: none came
	Type   string      `json:"type,omitempty"`
	Header http.Header `json:"header,omitempty"` // of the site's own files
	Error  string      `json:"error,omitempty"`
	body   []byte
}

// program is what made the report.
type program struct {
	Version string         `json:"version"`
	Commit  string         `json:"commit"`         // "" where the build doesn't say
	Changed bool           `json:"changed"`        // built from sources that differ from the commit
	Page    []release.File `json:"page,omitempty"` // the entrances of the page in it
}

const (
	pathNodes   = "/sotto/v1/nodes"
	pathLog     = "/sotto/v1/log"
	pathKeys    = "/sotto/v1/keys"
	pathSession = "/api/v1/session"
	pathService = "/api/v1/service"
	maxNodes    = 16 << 20 // bytes of the node list
	// perPart is how many machines one client looks at: it would take a random
	// sample of more.
	perPart = 16
)

func newSnapshot(server string, at time.Time) *snapshot {
	return &snapshot{server: server, at: at.Unix(), program: thisProgram(), answers: map[string]answer{}, bundles: map[string][]byte{}}
}

// thisProgram says what this program was built from.
func thisProgram() program {
	var p program
	if info, ok := debug.ReadBuildInfo(); ok {
		p.Version = info.Main.Version
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				p.Commit = s.Value
			case "vcs.modified":
				p.Changed = s.Value == "true"
			}
		}
	}
	// Only the entrances: hashing all of the page takes longer than the whole check.
	if dist, err := web.Files(); err == nil {
		for _, name := range livesite.EntranceNames {
			if b, err := fs.ReadFile(dist, name); err == nil {
				p.Page = append(p.Page, release.File{Path: name, SHA256: release.Digest(b)})
			}
		}
	}
	return p
}

// ownFiles are the files of the page in this program, as a release names them.
func ownFiles() ([]release.File, error) {
	dist, err := web.Files()
	if err != nil {
		return nil, err
	}
	w, err := releasebuild.Web(dist)
	return w.Files, err
}

func (s *snapshot) readPolicy(known []attest.Platform) (attest.Policy, error) {
	var p attest.Policy
	if s.policy != nil {
		var err error
		if p, err = parsePolicy(s.policy, "it", known); err != nil {
			return p, err
		}
	}
	p.AllowSoftware = p.AllowSoftware || s.software
	return p, nil
}

// fetchSite asks for what isn't the client's to ask: the entrances of the page, and
// the account without a session. What doesn't come is a finding too.
func (s *snapshot) fetchSite(ctx context.Context, base *url.URL) {
	fetch := livesite.New(base)
	var wg sync.WaitGroup
	paths := []string{pathSession, pathService}
	for _, name := range livesite.EntranceNames {
		paths = append(paths, livesite.Path(name))
	}
	for _, p := range paths {
		wg.Go(func() {
			a, err := fetch(ctx, p, "")
			out := answer{Status: a.Status, Header: a.Header, body: a.Body}
			if err != nil {
				out = answer{Error: "no answer came"}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.answers[p] = out
		})
	}
	wg.Wait()
}

// get returns the answer for a path, from the server where there is none yet.
func (s *snapshot) get(ctx context.Context, p string) (answer, error) {
	s.mu.Lock()
	a, ok := s.answers[p]
	s.mu.Unlock()
	if ok {
		return a, nil
	}
	if s.live == nil {
		return answer{}, errors.New("this was not asked then")
	}
	resp, err := s.live.RoundTrip(ctx, &client.Request{Method: "GET", Path: p})
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	limit := int64(maxNodes)
	if strings.HasPrefix(p, pathLog) || strings.HasPrefix(p, pathKeys) {
		limit = tlog.MaxView
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return answer{}, err
	}
	a = answer{Status: resp.Status, Type: resp.ContentType, body: body}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[p] = a
	return a, nil
}

// parts returns the node list in pieces that one client looks at wholly.
func (s *snapshot) parts(ctx context.Context) [][]byte {
	a, err := s.get(ctx, pathNodes)
	whole := [][]byte{nil}
	if err != nil || a.Status != http.StatusOK || len(a.body) > maxNodes {
		return whole
	}
	var list struct {
		V     int               `json:"v"`
		Nodes []json.RawMessage `json:"nodes"`
	}
	if json.Unmarshal(a.body, &list) != nil || len(list.Nodes) <= perPart || len(list.Nodes) > 64 {
		return whole
	}
	var out [][]byte
	for nodes := range slices.Chunk(list.Nodes, perPart) {
		list.Nodes = nodes
		b, err := json.Marshal(list)
		if err != nil {
			return whole
		}
		out = append(out, b)
	}
	return out
}

// part is the transport of one client: some of the machines, and the rest as it came.
type part struct {
	*snapshot
	nodes []byte // nil: the list as it came
}

func (p *part) RoundTrip(ctx context.Context, r *client.Request) (*client.Response, error) {
	if r.Method != "GET" {
		if p.live == nil {
			return nil, errors.New("offline")
		}
		return p.live.RoundTrip(ctx, r)
	}
	a, err := p.get(ctx, r.Path)
	if err != nil {
		return nil, err
	}
	if r.Path == pathNodes && p.nodes != nil {
		a.body = p.nodes
	}
	return &client.Response{Status: a.Status, ContentType: a.Type, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// fresh has the machines of c prove themselves for the nonce, or judges what they
// proved then. The verdicts of all machines come with the first part.
func (s *snapshot) fresh(ctx context.Context, c *client.Client, part int, passed bool) ([]attest.Verdict, error) {
	if s.live == nil {
		if part > 0 {
			return nil, nil
		}
		var out []attest.Verdict
		for _, id := range sortedKeys(s.bundles) {
			out = append(out, c.JudgeFresh(s.bundles[id], *s.nonce))
		}
		return out, nil
	}
	if !passed {
		return nil, nil
	}
	proofs, err := c.Fresh(ctx, *s.nonce)
	var out []attest.Verdict
	for _, p := range proofs {
		s.bundles[p.Verdict.KeyID] = p.Bundle
		out = append(out, p.Verdict)
	}
	var nv *client.NotVerifiedError
	if errors.As(err, &nv) {
		err = nil // the verdicts say so
	}
	return out, err
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// proofIndex is index.json of a proof.
type proofIndex struct {
	V        int               `json:"v"` // 1
	Server   string            `json:"server"`
	Time     int64             `json:"time"`
	Software bool              `json:"allow_software"`
	Policy   bool              `json:"policy"` // there is a policy.json
	Seen     []byte            `json:"seen"`
	Nonce    string            `json:"nonce"` // hex, or ""
	FreshErr string            `json:"bundleserror"`
	Program  program           `json:"program"`
	Answers  map[string]answer `json:"answers"` // by path; their bodies are files of their own
}

// fileOf names the file in a proof that holds the body of a path.
func fileOf(p string) string {
	switch {
	case p == "/":
		return "page/index.html"
	case p == pathNodes:
		return "nodes.json"
	case p == pathLog:
		return "log.json"
	case strings.HasPrefix(p, pathLog+"?from="):
		return "log-from-" + strings.TrimPrefix(p, pathLog+"?from=") + ".json"
	case p == pathKeys:
		return "keys.json"
	case strings.HasPrefix(p, pathKeys+"?from="):
		return "keys-from-" + strings.TrimPrefix(p, pathKeys+"?from=") + ".json"
	case p == pathSession:
		return "account.json"
	case p == pathService:
		return "service.json"
	}
	return "page/" + path.Base(p)
}

// files returns what is kept of s, but for the verdict.
func (s *snapshot) files() (proofzip.Files, error) {
	x := proofIndex{V: 1, Server: s.server, Time: s.at, Software: s.software, Policy: s.policy != nil, Seen: s.seen, Program: s.program, Answers: s.answers}
	files := proofzip.Files{}
	if s.nonce != nil {
		x.Nonce = hex.EncodeToString(s.nonce[:])
	}
	if s.freshErr != nil {
		x.FreshErr = s.freshErr.Error()
	}
	if s.policy != nil {
		files["policy.json"] = s.policy
	}
	for p, a := range s.answers {
		if a.Status != 0 {
			files[fileOf(p)] = a.body
		}
	}
	for id, b := range s.bundles {
		files["fresh/"+id+".json"] = b
	}
	b, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		return nil, err
	}
	files["index.json"] = append(b, '\n')
	files["README.txt"] = []byte(proofReadme(s))
	return files, nil
}

// inputs names all that the report was made of.
func (s *snapshot) inputs() []inputReport {
	files, err := s.files()
	if err != nil {
		return nil // which never happens: it is all plain data
	}
	var out []inputReport
	for _, name := range sortedKeys(files) {
		out = append(out, inputReport{name, strings.TrimPrefix(release.Digest(files[name]), "sha256:")})
	}
	return out
}

// saveProof writes all that r was made of, and r itself.
func saveProof(file string, s *snapshot, r *report) error {
	files, err := s.files()
	if err != nil {
		return err
	}
	if files["verdict.json"], err = r.encode(); err != nil {
		return err
	}
	b, err := proofzip.Write(files)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return withHint(fmt.Errorf("the proof can’t be kept: %w", err), "")
	}
	return nil
}

// readProof reads what saveProof wrote: what was looked at, and the report then.
func readProof(b []byte) (*snapshot, []byte, error) {
	files, err := proofzip.Read(b)
	if err != nil {
		return nil, nil, err
	}
	var x proofIndex
	d := json.NewDecoder(bytes.NewReader(files["index.json"]))
	d.DisallowUnknownFields()
	if d.Decode(&x) != nil || x.V != 1 || len(x.Answers) > proofzip.MaxFiles {
		return nil, nil, errors.New("its index can’t be read")
	}
	s := newSnapshot(x.Server, time.Unix(x.Time, 0))
	s.software, s.seen, s.program = x.Software, x.Seen, x.Program
	if x.Policy {
		s.policy = append([]byte{}, files["policy.json"]...)
	}
	if x.Nonce != "" {
		n, err := hex.DecodeString(x.Nonce)
		if err != nil || len(n) != 32 {
			return nil, nil, errors.New("its nonce is not 32 bytes of hex")
		}
		s.nonce = (*[32]byte)(n)
	}
	if x.FreshErr != "" {
		s.freshErr = errors.New(x.FreshErr)
	}
	for p, a := range x.Answers {
		if a.Status != 0 {
			a.body = files[fileOf(p)]
		}
		s.answers[p] = a
	}
	for name, body := range files {
		if id, ok := strings.CutPrefix(name, "fresh/"); ok {
			s.bundles[strings.TrimSuffix(id, ".json")] = body
		}
	}
	// Nothing may lie in it that the report isn't made of.
	own, err := s.files()
	if err != nil || len(own)+1 != len(files) {
		return nil, nil, errors.New("there is more in it than a proof has")
	}
	for name, body := range own {
		if !bytes.Equal(files[name], body) {
			return nil, nil, fmt.Errorf("%s in it is not as it was written", name)
		}
	}
	return s, files["verdict.json"], nil
}

// proofReadme says what is in a proof and how to look at it by hand.
func proofReadme(s *snapshot) string {
	fresh := ""
	if s.nonce != nil {
		fresh = `
fresh/*.json   what each machine's hardware signed when it was asked with the nonce in index.json:
               SHA-512("sotto/1 fresh" NUL nonce key_config). The nonce is random, so this was
               signed after it was made up.
`
	}
	return `This is a proof, kept by "sotto verify --save".

It holds what ` + s.server + ` showed on ` + time.Unix(s.at, 0).UTC().Format("2006-01-02 15:04:05 UTC") + `.
To check it again, as of then and without a network:

    sotto verify --offline THIS-FILE.zip

Nobody signed this file. Its worth is in what lies in it: hardware signed what is in nodes.json, a
log and its witnesses signed what is in log.json. Whoever gave it to you also chose policy.json,
which says what to accept: compare it with your own, or give your own with --policy.

index.json     who was asked, when, and what was known beforehand
policy.json    what was asked of the machines (missing: nothing beyond the strict rules)
nodes.json     the machines: for each key its description and what the hardware signed about it
log.json       the public log of releases: checkpoint, releases, proofs
page/          the files of the page that say by digest what all others are
account.json   what the account server said to somebody who isn't signed in
verdict.json   what was found
` + fresh + `
By hand:

    # the first machine's first key
    jq -r '.nodes[0].bundles[0]' nodes.json | base64 -d > bundle.json
    jq -r .key_config bundle.json | base64 -d > config.json
    jq . config.json
    # what its hardware must have signed
    { printf 'sotto/1 key config\0'; cat config.json; } | sha512sum
    sotto attest show bundle.json

    # the newest release, and the digests of the page
    jq -j '.releases[0].entry' log.json | base64 -d > release.txt
    sed '/^$/Q' release.txt | jq '{version, commit, machines, models}'
    sed '/^$/Q' release.txt | jq -r '.web.files[] | select(.path == "index.html").sha256'
    sha256sum page/index.html

    # the log's checkpoint: size, root hash, and who signed it
    jq -j .checkpoint log.json
`
}
