// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/releasetest"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/monitor"
	"github.com/sotto-chat/sotto/tlog/witness"
	"github.com/sotto-chat/sotto/vault"
)

// kills is how often something is killed; between two kills it rests for up to
// maxRest, and every progress kills it waits until clients got on with their work.
const (
	kills    = 200
	maxRest  = 100 * time.Millisecond
	progress = 10
	patience = 60 * time.Second // for anything that has to come in the end
)

// TestKilled kills the log, its three witnesses, the account and the gateway with
// SIGKILL, 200 times in all, while somebody publishes releases, somebody writes
// history, somebody reads the log through the gateway, and somebody who has stolen
// the log's key offers the witnesses another history.
//
// In the end, every release that was acknowledged is in the log where its proof
// said, every record that was acknowledged is in the feed, the log never went back
// for whoever read it, and every cosignature that any witness ever gave is of one
// and the same history.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SOTTO_CRASH_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SOTTO_CRASH_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := setUp(t, random)

	work, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	for _, f := range []func(context.Context){s.publish, s.write, s.read, s.collect, s.forge} {
		clients.Go(func() { f(work) })
	}
	s.waitFor("the first of everything", func() bool { return s.published.Load() > 0 && s.written.Load() > 0 && s.viewed.Load() > 0 })
	killed := map[string]int{}
	for n := range kills {
		time.Sleep(time.Duration(random.Int64N(int64(maxRest))))
		p := s.programs[random.IntN(len(s.programs))]
		p.kill()
		killed[p.name]++
		if n%progress == progress-1 {
			published, written, viewed := s.published.Load(), s.written.Load(), s.viewed.Load()
			s.waitFor("clients to get on", func() bool {
				return s.published.Load() > published && s.written.Load() > written && s.viewed.Load() > viewed
			})
		}
	}
	published, written := s.published.Load(), s.written.Load()
	s.waitFor("clients to get on afterwards", func() bool { return s.published.Load() > published+1 && s.written.Load() > written+1 })
	stop()
	clients.Wait()
	t.Logf("killed %v; %d releases, %d records and %d cosigned checkpoints, %d views and %d offers of another history",
		killed, s.published.Load(), s.written.Load(), len(s.cosigned), s.viewed.Load(), s.offers.Load())
	for _, p := range s.programs {
		if killed[p.name] == 0 {
			t.Errorf("%s was never killed", p.name)
		}
	}
	if s.offers.Load() == 0 {
		t.Error("no other history was offered")
	}
	s.checkLog()
	s.checkHistory()
}

// service is all that runs, and what its clients were told.
type service struct {
	t     *testing.T
	world *releasetest.World
	other tlog.Tree // the history that a thief of the log's key makes up

	programs           []*program
	log, gate, account string // URLs
	witnesses          []string

	token   string
	id      vault.AccountID
	root    vault.RootKey
	records map[vault.RecordID]bool // acknowledged

	published, written, viewed, offers atomic.Int64

	mu       sync.Mutex
	proofs   []tlog.Proof    // of acknowledged releases, by their places
	cosigned map[string]bool // every checkpoint that came with cosignatures
}

// program is a server in a process of its own, which starts again when it ends.
type program struct {
	t    *testing.T
	name string
	args []string
	log  *os.File

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	over  bool
}

func (p *program) start() {
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Error(err)
		return
	}
	ended := make(chan struct{})
	p.ended = ended
	go func(cmd *exec.Cmd) {
		cmd.Wait()
		close(ended)
	}(p.cmd)
}

// kill kills it and starts it again.
func (p *program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		// It must not end by itself: a folder that it refuses to go on from, say.
		p.t.Errorf("%s ended by itself", p.name)
	default:
	}
	p.cmd.Process.Kill()
	<-p.ended
	if !p.over {
		p.start()
	}
}

func (p *program) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.cmd.Process.Kill()
	<-p.ended
}

// setUp builds the programs, makes keys and an account, and starts everything.
func setUp(t *testing.T, random *rand.Rand) *service {
	t.Helper()
	dir := t.TempDir()
	sottod := filepath.Join(dir, "sottod")
	build := exec.Command("go", "build", "-o", sottod, "github.com/sotto-chat/sotto/cmd/sottod")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := &service{t: t, world: releasetest.New("crash"), records: map[vault.RecordID]bool{}, cosigned: map[string]bool{}}
	s.world.Pin.MaxAge = 1 << 30
	s.makeAccount(filepath.Join(dir, "account"))

	// Below the ports that connections of others take.
	taken := map[int]bool{}
	address := func() string {
		for {
			port := 20000 + random.IntN(12000)
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil || taken[port] {
				continue
			}
			l.Close()
			taken[port] = true
			return l.Addr().String()
		}
	}
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	once := func(args ...string) {
		if out, err := exec.Command(sottod, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run := func(name string, args ...string) {
		out, err := os.Create(filepath.Join(dir, name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		p := &program{t: t, name: name, args: append([]string{sottod}, args...), log: out}
		p.start()
		s.programs = append(s.programs, p)
		t.Cleanup(func() {
			p.end()
			out.Close()
			if b, err := os.ReadFile(out.Name()); err == nil && t.Failed() {
				t.Logf("%s said:\n%s", name, b[max(0, len(b)-4000):])
			}
		})
	}
	logArgs := []string{"log"}
	for i, key := range s.world.Witnesses {
		name := fmt.Sprintf("w%d", i+1)
		data, secret, at := filepath.Join(dir, name), file(name+".key", key.Secret()), address()
		once("witness", "-init", "-data", data, "-key", secret)
		run(name, "witness", "-data", data, "-key", secret, "-listen", at, "-log", s.world.Log.Key().String())
		s.witnesses = append(s.witnesses, "http://"+at)
		logArgs = append(logArgs, "-witness", name+"=http://"+at)
	}
	pin, err := json.Marshal(s.world.Pin)
	if err != nil {
		t.Fatal(err)
	}
	data, secret, at := filepath.Join(dir, "log"), file("log.key", s.world.Log.Secret()), address()
	once("log", "-init", "-data", data, "-key", secret)
	run("log", append(logArgs, "-data", data, "-key", secret, "-listen", at, "-pin", file("pin.json", string(pin)))...)
	s.log = "http://" + at
	at = address()
	run("gateway", "gateway", "-listen", at, "-node", "http://127.0.0.1:1", "-log", s.log)
	s.gate = "http://" + at
	at = address()
	run("account", "account", "-listen", at, "-origin", origin, "-data", filepath.Join(dir, "account"), "-gateway", s.gate)
	s.account = "http://" + at
	for n := range int64(1000) {
		s.other.Append(tlog.LeafHash(fmt.Appendf(nil, "another history %d", n)))
	}
	return s
}

const origin = "http://localhost:1"

// makeAccount makes an account with a terminal that is signed in.
func (s *service) makeAccount(dir string) {
	s.t.Helper()
	ctx := s.t.Context()
	db, err := store.Open(ctx, filepath.Join(dir, "sotto.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	s.id, s.root = vault.NewAccountID(), vault.NewRootKey()
	p := store.Passkey{ID: s.id[:], PublicKey: []byte{1}}
	passkey, err := vault.WrapPasskey(s.root, s.id, p.ID, make([]byte, 32))
	if err != nil {
		s.t.Fatal(err)
	}
	recovery, err := vault.WrapRecovery(s.root, s.id, vault.NewRecoveryKey())
	if err != nil {
		s.t.Fatal(err)
	}
	token := make([]byte, 32)
	if err := db.CreateAccount(ctx, s.id, p, []vault.Wrap{passkey, recovery}, store.NewSession{
		ID: vault.NewRecordID(), Hash: sha256.Sum256(token), Kind: store.Browser, Day: store.DayOf(time.Now()),
	}); err != nil {
		s.t.Fatal(err)
	}
	s.token = base64.RawURLEncoding.EncodeToString(token)
}

func (s *service) waitFor(what string, f func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if s.t.Failed() {
			s.t.FailNow()
		}
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

var web = &http.Client{Timeout: 10 * time.Second}

// ask sends a request. Only an answer that arrived whole counts.
func ask(ctx context.Context, method, url, host, token string, body []byte) (status int, kind string, answer []byte) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Host = host
	if token != "" {
		req.Header.Set("Authorization", "Sotto "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := web.Do(req)
	if err != nil {
		return 0, "", nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", nil
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), b
}

// rest waits a little, and reports whether to go on.
func rest(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(10 * time.Millisecond):
		return true
	}
}

// publish publishes one release after the other. The same one goes out again until
// it is acknowledged, as a person would do.
func (s *service) publish(ctx context.Context) {
	policy, err := tlog.ParsePolicy(s.world.Pin.Log)
	if err != nil {
		s.t.Error(err)
		return
	}
	for n := 0; ; n++ {
		m := s.world.Manifest(fmt.Sprintf("1.0.%d", n))
		entry := s.world.Sign(m, 2)
		for {
			status, _, answer := ask(ctx, "POST", s.log+"/add", "", "", entry)
			if status == 200 {
				p, err := tlog.ParseProof(answer)
				if err == nil {
					_, err = p.Verify(entry, policy)
				}
				if err != nil || p.Index != int64(n) {
					s.t.Errorf("release %d was acknowledged as entry %d, %v", n, p.Index, err)
					return
				}
				s.keep(p.Checkpoint)
				s.mu.Lock()
				s.proofs = append(s.proofs, p)
				s.mu.Unlock()
				s.world.Add(entry)
				s.published.Add(1)
				break
			}
			if status != 0 && status != 503 {
				s.t.Errorf("release %d: %d %s", n, status, answer)
				return
			}
			if !rest(ctx) {
				return
			}
		}
	}
}

// keep remembers a checkpoint and who cosigned it.
func (s *service) keep(checkpoint []byte) {
	s.mu.Lock()
	s.cosigned[string(checkpoint)] = true
	s.mu.Unlock()
}

// write writes messages into the history, and posts them again until they are
// acknowledged, as a device does.
func (s *service) write(ctx context.Context) {
	r := vault.NewReplica(s.root, s.id, vault.NewDeviceID())
	chat := vault.NewID()
	for n := 0; ; n++ {
		if _, err := r.AddMessage(vault.Message{Chat: chat, Role: "user", Text: fmt.Sprint("message ", n)}); err != nil {
			s.t.Error(err)
			return
		}
		for len(r.Pending()) > 0 {
			pending := r.Pending()
			body, err := json.Marshal(map[string]any{"entries": pending, "known": r.Head()})
			if err != nil {
				s.t.Error(err)
				return
			}
			status, _, answer := ask(ctx, "POST", s.account+"/api/v1/feed", strings.TrimPrefix(origin, "http://"), s.token, body)
			switch {
			case status == 200:
				for _, p := range pending {
					s.records[p.ID] = true
				}
				s.written.Add(int64(len(pending)))
			case status != 0 && status != 409 && status != 429 && status < 500: // 409: it had come before
				s.t.Errorf("a message: %d %s", status, answer)
				return
			}
			// What an answer that got lost told is in the feed.
			s.fetch(ctx, r)
			if !rest(ctx) {
				return
			}
		}
	}
}

// fetch applies what is new in the feed.
func (s *service) fetch(ctx context.Context, r *vault.Replica) bool {
	for {
		status, _, answer := ask(ctx, "GET", fmt.Sprintf("%s/api/v1/feed?since=%d", s.account, r.Head().Seq), strings.TrimPrefix(origin, "http://"), s.token, nil)
		if status != 200 {
			if status != 0 && status != 429 && status < 500 {
				s.t.Errorf("the feed: %d %s", status, answer)
			}
			return false
		}
		var p vault.Page
		err := json.Unmarshal(answer, &p)
		if err == nil {
			err = r.Apply(p)
		}
		if err != nil {
			s.t.Errorf("the feed: %v", err)
			return false
		}
		if r.Head() == p.Head {
			return true
		}
	}
}

// read is a client that follows the log through the gateway: for it, the log only
// ever grows.
func (s *service) read(ctx context.Context) {
	var seen *tlog.Seen
	for rest(ctx) {
		status, _, view := ask(ctx, "GET", s.gate+"/sotto/v1/log", "", "", nil)
		if status != 200 {
			continue
		}
		pub, err := s.world.Pin.Open(view, seen, time.Now())
		var e *tlog.Error
		if errors.As(err, &e) && e.Failure == tlog.FailUnlogged && seen == nil {
			continue // nothing is published yet
		}
		if err != nil {
			s.t.Errorf("the view that the gateway passed on: %v", err)
			return
		}
		seen = &pub.Seen
		s.keep([]byte(viewCheckpoint(view)))
		s.viewed.Add(1)
	}
}

func viewCheckpoint(view []byte) []byte {
	v, err := tlog.ParseView(view)
	if err != nil {
		panic(err)
	}
	return v.Checkpoint
}

// collect takes the log's own checkpoint, and has witnesses cosign it once more.
func (s *service) collect(ctx context.Context) {
	for n := 0; rest(ctx); n++ {
		status, _, signed := ask(ctx, "GET", s.log+"/checkpoint", "", "", nil)
		if status != 200 {
			continue
		}
		s.keep(signed)
		note, err := tlog.ParseNote(signed)
		if err != nil {
			s.t.Error(err)
			return
		}
		cp, err := tlog.ParseCheckpoint(note.Text)
		if err != nil {
			s.t.Error(err)
			return
		}
		s.askWitness(ctx, n, witness.Request{Old: cp.Size, Checkpoint: signed})
	}
}

// forge has the log's key, and offers each witness another history from where it
// is: with its own proof, and with none.
func (s *service) forge(ctx context.Context) {
	// A witness that has met no history of the log yet would take any.
	for met := 0; met < len(s.witnesses); {
		if !rest(ctx) {
			return
		}
		status, _, signed := ask(ctx, "GET", s.log+"/checkpoint", "", "", nil)
		if status != 200 || s.published.Load() == 0 {
			continue
		}
		status, kind, answer := ask(ctx, "POST", s.witnesses[met]+"/add-checkpoint", "", "", witness.Request{Checkpoint: signed}.Encode())
		if status == 200 || status == 409 && kind == witness.SizeType && string(answer) != "0\n" {
			met++
		}
	}
	for n := 0; rest(ctx); n++ {
		url := s.witnesses[n%len(s.witnesses)]
		probe := s.forged(0, 1)
		status, kind, answer := ask(ctx, "POST", url+"/add-checkpoint", "", "", probe.Encode())
		if status == 200 {
			s.t.Errorf("witness %d began anew", n%len(s.witnesses)+1)
			return
		}
		if status != 409 || kind != witness.SizeType {
			continue
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
		if err != nil {
			s.t.Error(err)
			return
		}
		if size == 0 || size+3 > s.other.Size() {
			continue
		}
		for _, to := range []int64{size, size + 1, size + 3} {
			s.askWitness(ctx, n, s.forged(size, to))
			s.offers.Add(1)
		}
	}
}

func (s *service) forged(old, size int64) witness.Request {
	proof, err := s.other.Consistency(old, size)
	if err != nil {
		panic(err)
	}
	signed, err := s.world.Log.Note(tlog.Checkpoint{Origin: s.world.Log.Name(), Size: size, Root: s.other.Root(size)}.Text())
	if err != nil {
		panic(err)
	}
	return witness.Request{Old: old, Proof: proof, Checkpoint: signed}
}

// askWitness asks the n-th witness and keeps what it cosigns.
func (s *service) askWitness(ctx context.Context, n int, r witness.Request) {
	n %= len(s.witnesses)
	status, _, line := ask(ctx, "POST", s.witnesses[n]+"/add-checkpoint", "", "", r.Encode())
	if status != 200 {
		return
	}
	note, err := tlog.ParseNote(r.Checkpoint)
	if err != nil {
		panic(err)
	}
	cosigned := append(append(bytes.Clone(note.Text), '\n'), line...)
	got, err := tlog.ParseNote(cosigned)
	if err != nil {
		s.t.Errorf("witness %d answered %q", n+1, line)
		return
	}
	if _, ok := got.VerifiedBy(s.world.Witnesses[n].Key()); !ok {
		s.t.Errorf("witness %d answered with no cosignature", n+1)
		return
	}
	s.keep(cosigned)
}

// checkLog reads the whole log as a monitor does, and compares with what was
// acknowledged and cosigned.
func (s *service) checkLog() {
	t := s.t
	m, err := monitor.New(s.world.Pin)
	if err != nil {
		t.Fatal(err)
	}
	get := func(ctx context.Context, path string, limit int64) ([]byte, error) {
		status, _, b := ask(ctx, "GET", s.log+path, "", "", nil)
		switch status {
		case 200:
			return b, nil
		case 404:
			return nil, monitor.ErrNotFound
		}
		return nil, fmt.Errorf("status %d", status)
	}
	found, cp, err := m.Step(t.Context(), get, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var tree tlog.Tree
	for i, f := range found {
		if f.Failure != nil {
			t.Errorf("entry %d doesn't count: %v", i, f.Failure)
			continue
		}
		if i < len(s.world.Entries) {
			if r, err := release.Parse(s.world.Entries[i]); err != nil || r.Digest() != f.Release.Digest() {
				t.Errorf("entry %d is another than was acknowledged, %v", i, err)
			}
			tree.Append(tlog.LeafHash(s.world.Entries[i]))
		}
	}
	// One more may have been under way when everything ended.
	if n := int64(len(s.world.Entries)); cp.Size != n && cp.Size != n+1 {
		t.Errorf("the log has %d entries, and %d were acknowledged", cp.Size, n)
	}
	histories := map[int64]tlog.Hash{cp.Size: cp.Root}
	for n := range tree.Size() + 1 {
		histories[n] = tree.Root(n)
	}
	if n := tree.Size(); histories[n] != tree.Root(n) || n == cp.Size && cp.Root != tree.Root(n) {
		t.Error("the log's root is another than that of what was acknowledged")
	}
	cosignatures := 0
	for text := range s.cosigned {
		note, err := tlog.ParseNote([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c, err := tlog.ParseCheckpoint(note.Text)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range s.world.Witnesses {
			if _, ok := note.VerifiedBy(w.Key()); ok {
				cosignatures++
			}
		}
		if histories[c.Size] != c.Root {
			t.Errorf("another history of %d entries was cosigned:\n%s", c.Size, text)
		}
	}
	t.Logf("%d cosignatures, all of one history", cosignatures)
	for _, p := range s.proofs {
		note, err := tlog.ParseNote(p.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tlog.ParseCheckpoint(note.Text)
		if err != nil {
			t.Fatal(err)
		}
		if c.Root != histories[c.Size] {
			t.Errorf("the proof of entry %d is of another history", p.Index)
		}
	}
}

// checkHistory reads the whole feed on a new device.
func (s *service) checkHistory() {
	t := s.t
	r := vault.NewReplica(s.root, s.id, vault.NewDeviceID())
	s.waitFor("the feed", func() bool { return s.fetch(t.Context(), r) })
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("the history has problems: %v", p)
	}
	there := map[vault.RecordID]bool{}
	for since := uint64(0); ; {
		status, _, answer := ask(t.Context(), "GET", fmt.Sprintf("%s/api/v1/feed?since=%d", s.account, since), strings.TrimPrefix(origin, "http://"), s.token, nil)
		var p vault.Page
		if err := json.Unmarshal(answer, &p); err != nil || status != 200 {
			t.Fatalf("the feed: %d %v", status, err)
		}
		for _, e := range p.Entries {
			if there[e.ID] {
				t.Errorf("record %v is there twice", e.ID)
			}
			there[e.ID] = true
			since = e.Seq
		}
		if since == p.Head.Seq {
			break
		}
	}
	for id := range s.records {
		if !there[id] {
			t.Errorf("record %v was acknowledged and is lost", id)
		}
	}
}
