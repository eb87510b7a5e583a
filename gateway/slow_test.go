// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sotto-chat/sotto/seal/envelope"
)

// deadlines is a ResponseWriter that notes until when a body may come.
type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

// silent is a body of which nothing comes until the deadline.
type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A few clients that claim the longest request and send nothing would take all
// the room there is for requests, so they have as little time as the shortest.
func TestClaimedSizeBuysNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/sotto/v1/seal", silent{})
		r.ContentLength = envelope.MaxMessage
		r.Header.Set("Content-Type", envelope.RequestType)
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		g.Handler().ServeHTTP(w, r)
		if w.Code != 400 || len(w.read) == 0 {
			t.Errorf("status %d, deadlines %v", w.Code, w.read)
		}
		for _, at := range w.read {
			if at.After(time.Now().Add(headTime)) {
				t.Errorf("it may take until %v, %v from now", at, time.Until(at))
			}
		}
	})
}
