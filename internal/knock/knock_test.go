// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package knock

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(10, 2)
		spend := func(address string) (n int) {
			for l.Take(address, 1) == 0 {
				n++
			}
			return n
		}
		if n := spend("192.0.2.1"); n != 10 {
			t.Errorf("%d requests at once", n)
		}
		if n := spend("192.0.2.2") + spend("::ffff:192.0.2.2"); n != 10 {
			t.Errorf("%d requests at once from a second address, written in two ways", n)
		}
		if n := spend("2001:db8::1") + spend("2001:db8::2%eth0"); n != 10 {
			t.Errorf("%d requests at once from one /64", n)
		}
		if wait := l.Take("192.0.2.1", 4); wait != 2*time.Second {
			t.Errorf("to wait %v", wait)
		}
		time.Sleep(2 * time.Second)
		if n := spend("192.0.2.1"); n != 4 {
			t.Errorf("%d requests after two seconds", n)
		}
		if l.Counted() != 3 {
			t.Errorf("%d networks are counted", l.Counted())
		}
		time.Sleep(Forget + time.Second)
		if n := spend("192.0.2.1"); n != 10 || l.Counted() != 1 {
			t.Errorf("%d requests after an hour, %d networks are counted", n, l.Counted())
		}
		for i := range MaxBuckets + 10 {
			l.Take(fmt.Sprint("host-", i), 1)
		}
		if n := l.Counted(); n > MaxBuckets {
			t.Errorf("%d networks are counted", n)
		}
	})
}
