// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"sync"
	"time"
)

// watched is the output of a program while it runs.
type watched struct {
	mu   sync.Mutex
	text []byte
	at   int // where the next match may begin
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	return len(b), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// await waits for a match after the last one.
func (w *watched) await(expr string) error {
	re, err := regexp.Compile("(?m)" + expr)
	if err != nil {
		return err
	}
	for range 1500 {
		w.mu.Lock()
		m := re.FindIndex(w.text[w.at:])
		if m != nil {
			w.at += m[1]
		}
		w.mu.Unlock()
		if m != nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("it never came")
}
