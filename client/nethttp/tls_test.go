// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nethttp

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sotto-chat/sotto/client"
)

// TestNoTLSTickets: a ticket is a cookie that TLS sets. A new connection begins anew,
// also where the server gave one.
func TestNoTLSTickets(t *testing.T) {
	var mu sync.Mutex
	seen, resumed := map[string]bool{}, 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.RemoteAddr] = true
		if r.TLS.DidResume {
			resumed++
		}
	}))
	defer s.Close()
	tr := New(s.URL)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	inner := tr.http.Transport.(*http.Transport)
	inner.TLSClientConfig.RootCAs = roots
	for range 3 {
		res, err := tr.RoundTrip(context.Background(), &client.Request{Method: "GET", Path: "/"})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		tr.CloseIdleConnections()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 3 || resumed != 0 {
		t.Errorf("%d connections, %d of them resumed", len(seen), resumed)
	}
	if !inner.TLSClientConfig.SessionTicketsDisabled || inner.TLSClientConfig.ClientSessionCache != nil {
		t.Error("tickets are asked for")
	}
}
