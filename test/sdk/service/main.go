// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Service runs what the SDK tests talk to, behind "sotto proxy": a gateway, two
// nodes and a scripted model server (package test/testservice). It prints the
// address of the service as its first line, and then, for each line on standard
// input, how many requests the model server has had and how many of them were
// cancelled: "3 1". It ends with its input.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/sotto-chat/sotto/test/testservice"
)

func main() {
	s, err := testservice.Run(context.Background(), testservice.Options{Nodes: 2})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer s.Close()
	fmt.Println(s.URL)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(s.Upstream.Requests.Load(), s.Upstream.Cancelled.Load())
	}
}
