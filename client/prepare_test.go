// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"testing"
	"testing/synctest"
)

// TestPreparedWhileIdle: the costly half of sealing is done after a check and
// after each answer, and each message takes one of its own.
func TestPreparedWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := f.client(Config{})
		if _, err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		key := c.liveKeys()[0]
		first := key.ready.Load()
		if first == nil {
			t.Fatal("nothing is prepared after a check")
		}
		for range 2 { // one with what was prepared, one without
			if _, _, err := sealTo([]*nodeKey{key}, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if key.ready.Load() != nil {
				t.Fatal("what one message took is still there for the next")
			}
		}
		if _, err := get(t, c, Options{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if next := key.ready.Load(); next == nil || next == first {
			t.Errorf("after an answer: %p is prepared, after the check it was %p", next, first)
		}
		c.Close()
	})
}
