// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"errors"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Entries that are next to nothing on the wire must not become much in memory.
func TestManyEmptyEntriesTakeNoRoom(t *testing.T) {
	const size = 4 << 20
	body := `{"entries":[{}` + strings.Repeat(`,{}`, size/3) + `]}`
	r := httptest.NewRequest("POST", "/api/v1/feed", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	var doc struct {
		Entries batch `json:"entries"`
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := read(r, maxFeedBody, &doc)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, errMalformed) {
		t.Errorf("error %v, want malformed", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 20*size {
		t.Errorf("%d MiB for %d MiB", took>>20, size>>20)
	}
}

// deadlines is a ResponseWriter that notes until when a body may come.
type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

// A body that doesn't come ends the request; one that isn't there ends nothing.
func TestBodiesHaveTheirTime(t *testing.T) {
	s := newWorld(t).srv
	post := httptest.NewRequest("POST", "/api/v1/signin/begin", strings.NewReader("{}"))
	post.ContentLength = 1 << 40
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.Handler().ServeHTTP(w, post)
	if len(w.read) != 1 || w.read[0].After(time.Now().Add(bodyTime+maxFeedBody/bodyRate*time.Second)) {
		t.Errorf("deadlines %v", w.read)
	}
	w = &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/feed/stream", nil))
	if len(w.read) != 0 {
		t.Errorf("a live stream ends at %v", w.read)
	}
}
