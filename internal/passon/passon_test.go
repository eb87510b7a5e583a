// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package passon

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAnswerOnly(t *testing.T) {
	rec := httptest.NewRecorder()
	w := AnswerOnly(rec)
	w.WriteHeader(http.StatusEarlyHints)
	w.WriteHeader(199)
	if rec.Code != 200 { // the recorder's word for nothing yet
		t.Errorf("%d was passed on", rec.Code)
	}
	w.WriteHeader(http.StatusTeapot)
	if rec.Code != http.StatusTeapot {
		t.Errorf("%d was passed on", rec.Code)
	}
	if err := http.NewResponseController(w).Flush(); err != nil || !rec.Flushed {
		t.Errorf("what was written can't be sent on: %v", err)
	}
}
