// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package connlimit bounds how many connections a listener has open at once.
// Beyond that, clients wait in the kernel's queue: cheaper than to accept them
// and have nothing left for those already here.
package connlimit

import (
	"net"
	"sync"
)

// Listen wraps l so that at most n of its connections are open at a time.
func Listen(l net.Listener, n int) net.Listener {
	return &listener{Listener: l, places: make(chan struct{}, n), done: make(chan struct{})}
}

type listener struct {
	net.Listener
	places chan struct{}
	done   chan struct{}
	once   sync.Once
}

// Accept waits for a place, then for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &conn{Conn: c, leave: func() { <-l.places }}, nil
}

// Close ends Accept, also one that waits for a place.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type conn struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (c *conn) Close() error {
	defer c.once.Do(c.leave)
	return c.Conn.Close()
}
