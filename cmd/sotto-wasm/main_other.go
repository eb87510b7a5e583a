// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(js && wasm)

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "sotto-wasm: this program runs in a browser; build it with GOOS=js GOARCH=wasm")
	os.Exit(2)
}
