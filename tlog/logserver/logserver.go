// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package logserver keeps a public log and serves it: one of releases, or one of
// the keys of each day (contents.go has what is different about them).
//
// A release or a statement comes in by POST /add, signed by as many of the pinned
// keys as the pin asks for, and for the very place in the log that is next. Tessera
// writes it to the disk as tiles ([tessera], POSIX driver) before anything else
// happens. Then the log signs the new tree's checkpoint, asks its witnesses to cosign
// it (cosign.go), and only what a quorum of them has cosigned is shown to anybody:
// first it is written to the disk, then it is served, with the view that clients
// of Sotto read (view.go) and the tiles that anybody can check by themselves
// (http.go). When nothing grows, the checkpoint is cosigned anew every ten
// minutes, so that a client can tell a log that stands still from one that hides
// what is new.
//
// A log that is killed at any moment comes back where it was: what it has
// acknowledged is in the tiles, and what is in the tiles is cosigned and shown. At
// its start it reads every entry, and refuses a folder whose entries don't hash to
// the checkpoint that it has shown.
package logserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"k8s.io/klog/v2"

	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
)

// Times.
const (
	// DefaultRecosign is how old a checkpoint gets before it is cosigned anew.
	DefaultRecosign = 10 * time.Minute
	// DefaultQuorumWait is how long an addition waits for the witnesses.
	DefaultQuorumWait = 10 * time.Second

	batchAge = 2 * time.Millisecond // one entry at a time comes in: nothing to wait for
	// tessera's own checkpoint is a file that nobody gets to see.
	checkpointEvery = time.Second
)

// maxAdding bounds the additions that are under way at once, waiting ones too.
const maxAdding = 16

// Config says what a log is.
type Config struct {
	Dir    string      // the folder of this key's log, and of no other program
	Signer tlog.Signer // its name is the log's origin
	Kind   Kind        // what it is a log of
	Pin    release.Pin // whose entries are taken, and which witnesses there are

	// NodesEvery is how long there is between two lists of machines in a key log; 0
	// means [DefaultNodesEvery], and less than 0 no time.
	NodesEvery time.Duration

	// Witnesses has base URLs of witnesses by their names in the pin's policy, where
	// the policy doesn't say them or others are wanted.
	Witnesses map[string]string

	// ViewPin is a pin, in JSON, that views carry. Only a demo has one: a client that
	// believed it would believe the log about itself.
	ViewPin []byte

	Recosign   time.Duration // 0 means [DefaultRecosign]
	QuorumWait time.Duration // 0 means [DefaultQuorumWait]
	Client     *http.Client  // nil: a client of its own
	Logger     *slog.Logger  // nil: none
	Now        func() time.Time
}

// Server is a log. Make it with [Open], let it [Server.Run], and [Server.Close] it.
type Server struct {
	cfg      Config
	contents contents
	policy   tlog.Policy
	peers    []*peer
	log      lines.Log

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	appender *tessera.Appender
	reader   tessera.LogReader
	gate     *door.Gate
	bodyTime time.Duration
	grown    chan struct{} // says that there is something to cosign

	adding sync.Mutex // one addition at a time, until it has its place

	mu       sync.RWMutex
	tree     tlog.Tree        // of all entries that are on the disk
	places   map[string]place // of the entries that count, by their digests
	shown    shown            // what is served
	waiters  chan struct{}    // closed when shown changes
	complain time.Time        // when too few witnesses were complained of last
}

// place is where an entry stands.
type place struct {
	index int64
	leaf  tlog.Hash
}

// shown is what the log shows of itself. It is replaced, never changed.
type shown struct {
	checkpoint []byte // cosigned; nil before the first
	size       int64
	time       int64 // the quorum's, Unix seconds
	views      *views
}

// Open opens the log in a folder, and makes it where there is none. It refuses a
// pin that doesn't name this log, and a folder that doesn't hold what the log has
// shown before.
func Open(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Recosign == 0 {
		cfg.Recosign = DefaultRecosign
	}
	if cfg.NodesEvery == 0 {
		cfg.NodesEvery = DefaultNodesEvery
	}
	if cfg.QuorumWait == 0 {
		cfg.QuorumWait = DefaultQuorumWait
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: askTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	s := &Server{
		cfg: cfg, log: lines.To(cfg.Logger), bodyTime: DefaultBodyTime,
		grown: make(chan struct{}, 1), places: map[string]place{}, waiters: make(chan struct{}),
	}
	var err error
	if s.policy, err = tlog.ParsePolicy(cfg.Pin.Log); err != nil {
		return nil, fmt.Errorf("the pin's policy: %w", err)
	}
	if s.contents, err = newContents(&s.cfg); err != nil {
		return nil, err
	}
	s.gate = door.NewGate(maxAdding, maxAdding*s.contents.maxSize())
	if err := s.checkPolicy(); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// checkPolicy sees that the pin is this log's, and finds the witnesses.
func (s *Server) checkPolicy() error {
	own := s.cfg.Signer.Key()
	named := false
	for _, l := range s.policy.Logs() {
		named = named || l.Key == own
	}
	if !named {
		return fmt.Errorf("the pin's policy doesn't name this log's key: it needs a line \"log %s\"", own)
	}
	alone, err := s.sign(0, tlog.EmptyRoot())
	if err != nil {
		return err
	}
	if _, err := s.policy.Open(alone); err == nil {
		return errors.New("the pin's policy asks for no witness, so nobody would see a second history: name witnesses and a quorum of them")
	}
	left := map[string]string{}
	for name, url := range s.cfg.Witnesses {
		left[name] = url
	}
	for _, w := range s.policy.Witnesses() {
		url := w.URL
		if u, ok := left[w.Name]; ok {
			url = u
			delete(left, w.Name)
		}
		if url == "" {
			s.log.Warn("a witness is not asked, since nothing says where it is", lines.Own("witness", w.Name))
			continue
		}
		p, err := newPeer(w.Name, w.Key, url)
		if err != nil {
			return err
		}
		s.peers = append(s.peers, p)
	}
	for name := range left {
		return fmt.Errorf("the pin's policy knows no witness %q", name)
	}
	if len(s.peers) == 0 {
		return errors.New("nothing says where any witness is: name their URLs in the pin's policy, or with -witness NAME=URL")
	}
	return nil
}

// The files of the folder, beside what package durable keeps there.
const (
	tilesFolder    = "tiles"
	checkpointFile = "checkpoint" // the last that was shown
)

func (s *Server) open() error {
	quiet(s.cfg.Logger)
	driver, err := posix.New(s.ctx, posix.Config{Path: filepath.Join(s.cfg.Dir, tilesFolder), HTTPClient: s.cfg.Client})
	if err != nil {
		return err
	}
	s.appender, _, s.reader, err = tessera.NewAppender(s.ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(s.cfg.Signer).
		WithBatching(1, batchAge).
		WithCheckpointInterval(checkpointEvery).
		WithCheckpointRepublishInterval(0))
	if err != nil {
		return fmt.Errorf("the log's tiles can't be used: %w", err)
	}
	if err := s.catchUp(); err != nil {
		return fmt.Errorf("the log's tiles in %s can't be used: %w", s.cfg.Dir, err)
	}
	file := filepath.Join(s.cfg.Dir, checkpointFile)
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	note, err := tlog.ParseNote(b)
	if err != nil {
		return fmt.Errorf("%s is damaged: %w", file, err)
	}
	cp, err := tlog.ParseCheckpoint(note.Text)
	if err != nil {
		return fmt.Errorf("%s is damaged: %w", file, err)
	}
	if _, ok := note.VerifiedBy(s.cfg.Signer.Key()); !ok || cp.Origin != s.cfg.Signer.Name() {
		return fmt.Errorf("%s is damaged, or of another log: this log's signature is not on it", file)
	}
	if cp.Size > s.tree.Size() {
		return fmt.Errorf("the folder %s holds %d entries, and this log has shown %d: what is missing has to come back from a newer copy; going on would be a second history", s.cfg.Dir, s.tree.Size(), cp.Size)
	}
	if s.tree.Root(cp.Size) != cp.Root {
		return fmt.Errorf("the entries in %s are not those that this log has shown: restore the folder; going on would be a second history", s.cfg.Dir)
	}
	// By another policy than the one it was cosigned for it may not be enough.
	if opened, err := s.policy.Open(b); err == nil {
		return s.show(b, opened)
	}
	return nil
}

// catchUp reads the entries on the disk that the tree doesn't know yet. The caller
// holds adding, or is alone.
func (s *Server) catchUp() error {
	size, err := s.reader.IntegratedSize(s.ctx)
	if err != nil {
		return err
	}
	for s.tree.Size() < int64(size) {
		from := s.tree.Size()
		entries, err := s.entries(from, min(int64(size), from/tlog.Window*tlog.Window+tlog.Window))
		if err != nil {
			return err
		}
		for i, e := range entries {
			s.learn(e, from+int64(i))
		}
	}
	// What the log signed last, shown or not.
	b, err := s.reader.ReadCheckpoint(s.ctx)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	note, err := tlog.ParseNote(b)
	if err != nil {
		return err
	}
	cp, err := tlog.ParseCheckpoint(note.Text)
	if err != nil {
		return err
	}
	if cp.Size > s.tree.Size() || s.tree.Root(cp.Size) != cp.Root {
		return errors.New("its entries don't hash to what the log has signed")
	}
	return nil
}

// learn adds an entry that is on the disk to the tree.
func (s *Server) learn(entry []byte, index int64) {
	leaf := tlog.LeafHash(entry)
	it, err := s.contents.judge(entry)
	counts := err == nil && it.index == index
	if counts {
		s.contents.learn(it)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree.Append(leaf)
	if counts {
		s.places[it.digest] = place{index, leaf}
	}
}

// entries reads the entries from lo to hi, all of one bundle.
func (s *Server) entries(lo, hi int64) ([][]byte, error) {
	n := lo / tlog.Window
	b, err := s.reader.ReadEntryBundle(s.ctx, uint64(n), uint8(hi-n*tlog.Window)) // 0 stands for a full one
	if err != nil {
		return nil, err
	}
	all, err := split(b)
	if err != nil || int64(len(all)) < hi-n*tlog.Window {
		return nil, fmt.Errorf("the bundle %d of entries is damaged", n)
	}
	return all[lo-n*tlog.Window : hi-n*tlog.Window], nil
}

// split parts a bundle of entries (C2SP tlog-tiles, "Log entries").
func split(b []byte) (entries [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, errors.New("a bundle of entries is cut off")
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		if len(b) < n {
			return nil, errors.New("a bundle of entries is cut off")
		}
		entries, b = append(entries, b[2:n]), b[n:]
	}
	return entries, nil
}

// Refusal is why something isn't added or shown.
type Refusal struct {
	Status int    // HTTP
	Text   string // a sentence
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

func refuse(status int, text string) error { return &Refusal{status, text} }

// Add writes a signed entry down and returns the proof that it is in the log, for a
// checkpoint that a quorum of witnesses has cosigned (C2SP tlog-proof). One that is
// in the log already gets its proof again. The error is a [*Refusal].
func (s *Server) Add(ctx context.Context, entry []byte) ([]byte, error) {
	it, err := s.contents.judge(entry)
	if err != nil {
		return nil, err
	}
	index, err := s.put(it, entry)
	if err != nil {
		return nil, err
	}
	return s.await(ctx, index)
}

// put gives an entry that was judged its place.
func (s *Server) put(it item, entry []byte) (int64, error) {
	leaf, digest, noun := tlog.LeafHash(entry), it.digest, s.contents.noun()
	s.adding.Lock()
	defer s.adding.Unlock()
	s.mu.RLock()
	at, there := s.places[digest]
	next := s.tree.Size()
	s.mu.RUnlock()
	switch {
	case there && at.leaf != leaf:
		// Anybody can put signatures in another order.
		return 0, refuse(http.StatusConflict, fmt.Sprintf("this %s is entry %d of the log already, with other signature lines", noun, at.index))
	case there:
		return at.index, nil
	case it.index != next:
		return 0, refuse(http.StatusConflict, fmt.Sprintf("the next entry of the log is number %d, and this %s was signed to be number %d: sign it anew", next, noun, it.index))
	}
	if err := s.contents.admit(it); err != nil {
		return 0, err
	}
	type result struct {
		index tessera.Index
		err   error
	}
	done := make(chan result, 1)
	go func() {
		i, err := s.appender.Add(s.ctx, tessera.NewEntry(entry))()
		done <- result{i, err}
	}()
	select {
	case got := <-done:
		// Whatever it says, what counts is on the disk.
		if err := s.catchUp(); err != nil {
			got.err = errors.Join(got.err, err)
		}
		s.mu.RLock()
		at, there = s.places[digest]
		s.mu.RUnlock()
		if !there || at.index != next {
			s.log.Error("a release could not be written down", lines.Cause(got.err))
			return 0, refuse(http.StatusInternalServerError, "the log can't write to its disk")
		}
	case <-s.ctx.Done():
		return 0, refuse(http.StatusServiceUnavailable, "the log is ending: ask again")
	}
	select {
	case s.grown <- struct{}{}:
	default:
	}
	return next, nil
}

// await waits until an entry is shown, and proves it.
func (s *Server) await(ctx context.Context, index int64) ([]byte, error) {
	late := time.NewTimer(s.cfg.QuorumWait)
	defer late.Stop()
	for {
		s.mu.RLock()
		now, waiters := s.shown, s.waiters
		if now.size > index {
			p, err := s.tree.Proof(now.checkpoint, index)
			s.mu.RUnlock()
			if err != nil {
				return nil, refuse(http.StatusInternalServerError, err.Error())
			}
			return p.Encode(), nil
		}
		s.mu.RUnlock()
		select {
		case <-waiters:
		case <-ctx.Done():
			return nil, refuse(http.StatusServiceUnavailable, "nobody waited for the proof")
		case <-s.ctx.Done():
			return nil, refuse(http.StatusServiceUnavailable, "the log is ending: ask again")
		case <-late.C:
			return nil, refuse(http.StatusServiceUnavailable, fmt.Sprintf("it is entry %d of the log and stays it, but too few witnesses have cosigned that yet: ask again for the proof", index))
		}
	}
}

// sign returns the log's own checkpoint of a tree.
func (s *Server) sign(size int64, root tlog.Hash) ([]byte, error) {
	return s.cfg.Signer.Note(tlog.Checkpoint{Origin: s.cfg.Signer.Name(), Size: size, Root: root}.Text())
}

// Newest returns the newest release in a log of releases that counts, whether or not
// it has been shown yet, and how many entries there are.
func (s *Server) Newest() (r release.Release, size int64, ok bool) {
	s.adding.Lock()
	defer s.adding.Unlock()
	s.mu.RLock()
	size = s.tree.Size()
	at := int64(-1)
	for _, p := range s.places {
		at = max(at, p.index)
	}
	s.mu.RUnlock()
	if at < 0 {
		return r, size, false
	}
	es, err := s.entries(at, at+1)
	if err != nil {
		return r, size, false
	}
	it, err := s.contents.judge(es[0])
	r, ok = it.text.(release.Release)
	return r, size, ok && err == nil
}

// Close ends the log. What was acknowledged is on the disk.
func (s *Server) Close() { s.cancel() }

var quieted sync.Once

// quiet sends what tessera says by klog, which is the whole process's, to our log,
// where it is a warning at least.
func quiet(log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	quieted.Do(func() { klog.SetSlogLogger(slog.New(warnings{log.Handler()})) })
}

// warnings is a handler that passes on warnings and errors.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return strconv.FormatInt(n, 10) + " entries"
}
