// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package witness cosigns the checkpoints of logs that only grow.
//
// A log could show one history to one person and another to the next, each with
// good signatures. It can't where witnesses have to sign along: a [Witness] knows
// the last tree of each of its logs that it put its name to, and signs another
// only after a proof that this continues that one (C2SP tlog-witness,
// tlog-cosignature). So whoever finds enough cosignatures of witnesses that don't
// work together knows that there is one history.
//
// This holds for as long as a witness forgets nothing. What it signed is on the
// disk before anybody has the signature, one request of a log is looked at after
// the other, and a witness that lost its memory refuses to start. The memory is
// the cosigned checkpoint itself, so damage shows: the witness's own signature is
// no longer right.
//
// Witnesses that are run by whoever runs the log prove nothing against them. They
// are worth as much as those who run them are independent.
package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/internal/durable"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/tlog"
)

const (
	// DefaultGrowth is how many new trees of one log a witness cosigns a second, on
	// average: each of them waits for the disk.
	DefaultGrowth = 20
	// maxRequests bounds the requests that are looked at at once.
	maxRequests = 32
	// bodyTime is how long a request may take to arrive.
	bodyTime = 10 * time.Second
)

// Config says what a witness is.
type Config struct {
	Dir    string        // the folder of its memory: of this key's, and of no other program
	Key    tlog.Cosigner // signs
	Logs   []tlog.Key    // of the logs that it knows; the key's name is the log's origin
	Growth float64       // new trees a second and log; 0 means [DefaultGrowth]

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: none
}

// Witness cosigns. Make it with [Open].
type Witness struct {
	cfg  Config
	log  lines.Log
	gate *door.Gate
	logs map[string]*log

	mu    sync.Mutex // guards the file "logs"
	known []string   // origins in it
}

// log is what a witness knows of one log.
type log struct {
	origin string
	keys   []tlog.Key
	file   string

	mu     sync.Mutex // one request at a time, from looking at the state to answering
	size   int64      // 0 where nothing has been cosigned
	root   tlog.Hash  // the empty tree's where nothing has been cosigned
	tokens float64    // growth that is allowed at once
	since  time.Time  // when tokens was right
	told   time.Time  // when something wrong was last written to the program's log
}

// roster is the file that names the logs of which something has been cosigned.
const roster = "logs"

// Open reads the memory of a witness. It refuses one that is damaged or has gone
// in part: a witness that began anew could cosign a second history.
func Open(cfg Config) (*Witness, error) {
	if cfg.Key.Name() == "" || len(cfg.Logs) == 0 {
		return nil, errors.New("witness: there must be a key and at least one log")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Growth == 0 {
		cfg.Growth = DefaultGrowth
	}
	w := &Witness{cfg: cfg, log: lines.To(cfg.Logger), gate: door.NewGate(maxRequests, maxRequests*MaxRequest), logs: map[string]*log{}}
	names, err := os.ReadFile(filepath.Join(cfg.Dir, roster))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("witness: %w", err)
	}
	for line := range strings.Lines(string(names)) {
		name, ok := strings.CutSuffix(line, "\n")
		if !ok || name == "" {
			return nil, fmt.Errorf("witness: the file %s is damaged: restore the folder, or retire this witness's key", filepath.Join(cfg.Dir, roster))
		}
		w.known = append(w.known, name)
	}
	for _, k := range cfg.Logs {
		if l, ok := w.logs[k.Name()]; ok {
			l.keys = append(l.keys, k)
			continue
		}
		sum := sha256.Sum256([]byte(k.Name()))
		l := &log{
			origin: k.Name(),
			keys:   []tlog.Key{k},
			file:   filepath.Join(cfg.Dir, hex.EncodeToString(sum[:8])+".checkpoint"),
			root:   tlog.EmptyRoot(),
			tokens: cfg.Growth,
			since:  cfg.Now(),
		}
		if err := w.load(l); err != nil {
			return nil, fmt.Errorf("witness: what was cosigned of %s can't be used: %w. Restore the folder %s as it was last, or retire this witness's key: beginning anew, it could cosign a second history", l.origin, err, cfg.Dir)
		}
		w.logs[l.origin] = l
	}
	return w, nil
}

// load reads what was cosigned of a log.
func (w *Witness) load(l *log) error {
	b, err := collateral.ReadFile(l.file, 2*MaxRequest)
	if errors.Is(err, fs.ErrNotExist) {
		if slices.Contains(w.known, l.origin) {
			return fmt.Errorf("the file %s is missing", l.file)
		}
		return nil
	}
	if err != nil {
		return err
	}
	note, err := tlog.ParseNote(b)
	if err != nil {
		return fmt.Errorf("the file %s is damaged: %w", l.file, err)
	}
	if _, ok := note.VerifiedBy(w.cfg.Key.Key()); !ok {
		return fmt.Errorf("the file %s is damaged, or of another witness: this one's signature is not on it", l.file)
	}
	cp, err := tlog.ParseCheckpoint(note.Text)
	if err != nil {
		return fmt.Errorf("the file %s is damaged: %w", l.file, err)
	}
	if cp.Origin != l.origin {
		return fmt.Errorf("the file %s is of the log %q", l.file, cp.Origin)
	}
	l.size, l.root = cp.Size, cp.Root
	return nil
}

// refusal is an answer that isn't a cosignature.
type refusal struct {
	status int
	kind   string // content type; "" for a sentence
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, text string) error { return &refusal{status: status, text: text} }

// cosign looks at a request and returns a line of signature. What it refuses is an
// error that the handler answers.
func (w *Witness) cosign(body []byte) ([]byte, error) {
	r, err := ParseRequest(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, err.Error())
	}
	note, err := tlog.ParseNote(r.Checkpoint)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the checkpoint is no signed note")
	}
	cp, err := tlog.ParseCheckpoint(note.Text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the signed note is no checkpoint")
	}
	l, ok := w.logs[cp.Origin]
	if !ok {
		return nil, refuse(http.StatusNotFound, "this witness doesn't know the log "+strconv.Quote(cp.Origin))
	}
	if !slices.ContainsFunc(l.keys, func(k tlog.Key) bool { _, ok := note.VerifiedBy(k); return ok }) {
		return nil, refuse(http.StatusForbidden, "the log's key didn't sign this")
	}
	if r.Old > cp.Size {
		return nil, refuse(http.StatusBadRequest, "the old size is larger than the checkpoint's")
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Old != l.size {
		return nil, &refusal{http.StatusConflict, SizeType, strconv.FormatInt(l.size, 10) + "\n"}
	}
	if cp.Size == l.size && cp.Root != l.root {
		w.tell(l, r.Checkpoint, true)
		return nil, refuse(http.StatusConflict, "a tree of this size with another root has been cosigned")
	}
	if err := tlog.VerifyConsistency(l.size, cp.Size, l.root, cp.Root, r.Proof); err != nil {
		w.tell(l, r.Checkpoint, false)
		return nil, refuse(http.StatusUnprocessableEntity, "the proof doesn't show that this tree continues the one of size "+strconv.FormatInt(l.size, 10))
	}
	grown := cp.Size > l.size
	if grown && !l.allow(w.cfg.Now(), w.cfg.Growth) {
		return nil, refuse(http.StatusTooManyRequests, "this log grows faster than this witness cosigns: ask again in a second")
	}
	signed := tlog.Note{Text: note.Text, Signatures: []tlog.Signature{w.cfg.Key.Cosign(note.Text, w.cfg.Now().Unix())}}.Encode()
	if len(signed) > tlog.MaxNote { // it couldn't be read at the next start
		return nil, refuse(http.StatusBadRequest, "the checkpoint is too long to be kept with this witness's signature")
	}
	// On the disk before anybody has it. The same tree again changes nothing, nor does
	// the empty one.
	if grown {
		if err := w.remember(l, signed); err != nil {
			return nil, err
		}
		l.size, l.root = cp.Size, cp.Root
	}
	return signed[len(note.Text)+1:], nil
}

// tell writes down what may be proof of a log's second history, now and then: whoever
// sends it can send more. The caller holds the log's lock.
func (w *Witness) tell(l *log, checkpoint []byte, second bool) {
	now := w.cfg.Now()
	if d := now.Sub(l.told); d >= 0 && d < 10*time.Second {
		return
	}
	l.told = now
	said := []lines.Field{lines.Own("log", l.origin), lines.Own("cosigned", strconv.FormatInt(l.size, 10)), lines.Own("checkpoint", string(checkpoint))}
	if second {
		w.log.Error("a log showed a second tree of the size that was cosigned", said...)
	} else {
		w.log.Error("a log's tree doesn't continue the one that was cosigned, or the proof is wrong", said...)
	}
}

// allow takes one of the growths that a log may have by now.
func (l *log) allow(now time.Time, rate float64) bool {
	l.tokens = min(2*rate, l.tokens+max(0, now.Sub(l.since).Seconds())*rate)
	l.since = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// remember writes down what is about to be cosigned: the tree, and no signature
// but the witness's own.
func (w *Witness) remember(l *log, signed []byte) error {
	if err := durable.Write(l.file, signed); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.known, l.origin) {
		return nil
	}
	known := append(w.known[:len(w.known):len(w.known)], l.origin)
	if err := durable.Write(filepath.Join(w.cfg.Dir, roster), []byte(strings.Join(known, "\n")+"\n")); err != nil {
		return err
	}
	w.known = known
	return nil
}

// Handler answers POST /add-checkpoint, and GET / with what this is.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.addCheckpoint)
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, _ *http.Request) {
		io.WriteString(rw, "This is a witness of logs (c2sp.org/tlog-witness): it cosigns what only grows.\nIts key: "+w.cfg.Key.Key().String()+"\n"+Independence+"\n")
	})
	return mux
}

// Independence is said wherever somebody could take the number of witnesses for
// what they are worth.
const Independence = "Witnesses that the operator of the log runs prove nothing against the operator. Others have to run them."

func (w *Witness) addCheckpoint(rw http.ResponseWriter, r *http.Request) {
	sentence := func(status int, text string) {
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			rw.Header().Set("Retry-After", "1")
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.WriteHeader(status)
		io.WriteString(rw, text+"\n")
	}
	// Until it has come, a request takes up a connection and no place.
	_ = http.NewResponseController(rw).SetReadDeadline(time.Now().Add(bodyTime)) // a connection without deadlines belongs to a test
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, MaxRequest))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		sentence(http.StatusRequestEntityTooLarge, "the request is too long")
		return
	}
	if err != nil {
		rw.Header().Set("Connection", "close")
		sentence(http.StatusBadRequest, "the request didn't arrive")
		return
	}
	if !w.gate.Enter(MaxRequest) {
		sentence(http.StatusServiceUnavailable, "too many requests are under way")
		return
	}
	defer w.gate.Leave(MaxRequest)
	line, err := w.cosign(body)
	var no *refusal
	switch {
	case err == nil:
		rw.Write(line)
	case errors.As(err, &no) && no.kind != "":
		rw.Header().Set("Content-Type", no.kind)
		rw.WriteHeader(no.status)
		io.WriteString(rw, no.text)
	case errors.As(err, &no):
		sentence(no.status, no.text)
	default:
		w.log.Error("what was asked could not be written down, so it is not cosigned", lines.Cause(err))
		sentence(http.StatusInternalServerError, "this witness can't write to its disk")
	}
}
