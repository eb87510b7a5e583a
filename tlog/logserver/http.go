// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package logserver

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/witness"
)

// DefaultBodyTime is how long an entry may take to arrive.
const DefaultBodyTime = 10 * time.Second

// Content types (C2SP tlog-tiles).
const (
	plain  = "text/plain; charset=utf-8"
	octets = "application/octet-stream"
)

// Handler serves the log: GET /checkpoint and /tile/… (C2SP tlog-tiles), GET
// /sotto/v1/log (spec/log.md, "View"), POST /add, and GET / for people.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", s.getCheckpoint)
	mux.HandleFunc("GET /tile/", s.getTile)
	mux.HandleFunc("GET /sotto/v1/log", s.getView)
	mux.HandleFunc("POST /add", s.postAdd)
	mux.HandleFunc("GET /{$}", s.getWords)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff") // entries are others' bytes
		mux.ServeHTTP(w, r)
	})
}

// current returns what is shown, or answers that there is nothing yet.
func (s *Server) current(w http.ResponseWriter) (shown, bool) {
	s.mu.RLock()
	now := s.shown
	s.mu.RUnlock()
	if now.checkpoint == nil {
		answer(w, refuse(http.StatusServiceUnavailable, "too few witnesses have cosigned this log's beginning yet"))
		return now, false
	}
	return now, true
}

// answer answers with a sentence.
func answer(w http.ResponseWriter, err error) {
	var no *Refusal
	if !errors.As(err, &no) {
		no = &Refusal{http.StatusInternalServerError, "the log can't read its disk"}
	}
	h := w.Header()
	if no.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	h.Set("Content-Type", plain)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(no.Status)
	io.WriteString(w, no.Text+"\n")
}

func (s *Server) getCheckpoint(w http.ResponseWriter, _ *http.Request) {
	now, ok := s.current(w)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", plain)
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(now.checkpoint)
}

func (s *Server) getView(w http.ResponseWriter, r *http.Request) {
	now, ok := s.current(w)
	if !ok {
		return
	}
	doc := now.views.usual
	if q := r.URL.RawQuery; q != "" {
		start, ok := strings.CutPrefix(q, "from=")
		n, _ := strconv.ParseInt(start, 10, 64) // what it can't read it gives back as something else
		if !ok || strconv.FormatInt(n, 10) != start {
			answer(w, refuse(http.StatusBadRequest, "the one thing that can be asked is from=N"))
			return
		}
		var err error
		if doc, err = now.views.from(n); err != nil {
			answer(w, err)
			return
		}
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", doc.tag)
	if r.Header.Get("If-None-Match") == doc.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	w.Write(doc.doc)
}

var errNoTile = refuse(http.StatusNotFound, "there is no such tile")

func (s *Server) getTile(w http.ResponseWriter, r *http.Request) {
	now, ok := s.current(w)
	if !ok {
		return
	}
	t, err := parseTile(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || !t.within(now.size) {
		answer(w, errNoTile)
		return
	}
	b, err := t.read(s)
	if err != nil {
		s.log.Error("a tile that was shown can't be read", lines.Cause(err))
		answer(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", octets)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if !t.entries {
		w.Write(b) // hashes can't be compressed
		return
	}
	h.Set("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Write(b)
		return
	}
	h.Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	z.Write(b)
	z.Close()
}

// tile names a tile of hashes or a bundle of entries (C2SP tlog-tiles).
type tile struct {
	entries bool
	level   uint64 // 0 for entries
	n       uint64
	width   int // 1 to 256
}

// parseTile reads the path of a tile, in its one form.
func parseTile(path string) (t tile, err error) {
	level, index, _ := strings.Cut(strings.TrimPrefix(path, "tile/"), "/")
	var p uint8
	// What can't be read comes out as another path than it was.
	if level == "entries" {
		t.entries = true
		t.n, p, _ = layout.ParseTileIndexPartial(index)
	} else {
		t.level, t.n, p, _ = layout.ParseTileLevelIndexPartial(level, index)
	}
	if t.path(p) != path {
		return t, errNoTile
	}
	t.width = int(p)
	if p == 0 {
		t.width = tlog.Window
	}
	return t, nil
}

func (t tile) path(p uint8) string {
	if t.entries {
		return layout.EntriesPath(t.n, p)
	}
	return layout.TilePath(t.level, t.n, p)
}

// within reports whether a tree of the size has all of the tile.
func (t tile) within(size int64) bool {
	have := uint64(size) >> (8 * t.level) // 0 for levels that no size reaches
	return uint64(t.width) <= have && t.n <= (have-uint64(t.width))/tlog.Window
}

// read reads the tile. Partial ones are deleted once there is the full one, of
// which they are the beginning.
func (t tile) read(s *Server) ([]byte, error) {
	p := uint8(t.width) // 0 stands for a full one
	if !t.entries {
		b, err := s.reader.ReadTile(s.ctx, t.level, t.n, p)
		if err == nil && len(b) < 32*t.width {
			err = errors.New("it is too short")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.path(p), err)
		}
		return b[:32*t.width], nil
	}
	b, err := s.reader.ReadEntryBundle(s.ctx, t.n, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path(p), err)
	}
	all, err := split(b)
	if err == nil && len(all) < t.width {
		err = errors.New("it is too short")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path(p), err)
	}
	n := 0
	for _, e := range all[:t.width] {
		n += 2 + len(e)
	}
	return b[:n], nil
}

func (s *Server) postAdd(w http.ResponseWriter, r *http.Request) {
	// Until it has come, an entry takes up a connection and no place.
	noun, most := s.contents.noun(), s.contents.maxSize()
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(s.bodyTime)) // a connection without deadlines belongs to a test
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		answer(w, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("a signed %s has at most %d bytes", noun, most)))
		return
	}
	if err != nil {
		w.Header().Set("Connection", "close")
		answer(w, refuse(http.StatusBadRequest, "the "+noun+" didn't arrive"))
		return
	}
	_ = c.SetReadDeadline(time.Time{}) // it would end the wait for the witnesses
	if !s.gate.Enter(most) {
		answer(w, refuse(http.StatusServiceUnavailable, "too many "+noun+"s are being added"))
		return
	}
	defer s.gate.Leave(most)
	proof, err := s.Add(r.Context(), body)
	if err != nil {
		answer(w, err)
		return
	}
	w.Header().Set("Content-Type", plain)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(proof)
}

// getWords tells a person what this is.
func (s *Server) getWords(w http.ResponseWriter, _ *http.Request) {
	s.mu.RLock()
	size := s.shown.size
	s.mu.RUnlock()
	w.Header().Set("Content-Type", plain)
	of := "releases"
	if s.cfg.Kind == Keys {
		of = "keys and machines"
	}
	fmt.Fprintf(w, "This is the public log of the %s of %s (c2sp.org/tlog-tiles): %s.\nIts key: %s\n%s\n", of, s.cfg.Pin.Product, entries(size), s.cfg.Signer.Key(), witness.Independence)
}
