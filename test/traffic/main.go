// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Traffic measures what somebody on the wire learns of answers by sizes and times
// alone: it makes answers over topics and languages, gives them the times of real
// engines, looks at them as plain event streams, as padded ones and through a
// real node, and trains a classifier on what is seen, as "Whisper Leak" does
// (McDonald and Bar Or, arXiv:2511.03675).
//
//	go run ./test/traffic           # all of it, some minutes
//	go run ./test/traffic -record   # time the engines of this machine anew
//	go test ./test/traffic          # a small one, which fails if a shape leaks
package main

import (
	"fmt"
	"os"
	"os/exec"
)

func main() {
	run := "^TestEvaluate$"
	if len(os.Args) == 2 && os.Args[1] == "-record" {
		run = "^TestRecord$"
	} else if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "usage: traffic [-record]")
		os.Exit(2)
	}
	// Fake time is to be had in tests only.
	cmd := exec.Command("go", "test", "-count=1", "-timeout=30m", "-v", "-run", run, "./test/traffic", "-args", "-full")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}
