// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// Every reader of a tape reads the same, however the bytes come.
func TestTape(t *testing.T) {
	whole := []byte(strings.Repeat("0123456789", 100))
	calls := 0
	tp := newTape(iotest.OneByteReader(bytes.NewReader(whole)), int64(len(whole)), func() { calls++ })
	first := tp.reader()
	io.ReadFull(first, make([]byte, 300))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if b, err := io.ReadAll(tp.reader()); err != nil || !bytes.Equal(b, whole) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	wg.Wait()
	if calls != 1 || tp.broken() {
		t.Errorf("whole was called %d times, broken %v", calls, tp.broken())
	}
	short := newTape(bytes.NewReader(whole), 2000, nil)
	if _, err := io.ReadAll(short.reader()); !errors.Is(err, io.ErrUnexpectedEOF) || !short.broken() {
		t.Errorf("a short request: %v", err)
	}
}
