// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build js

package main

import (
	"encoding/json"
	"syscall/js"
)

// main hands the figures to the page that started it, which gave it the vectors.
func main() {
	var docs []string
	if err := json.Unmarshal([]byte(js.Global().Get("vectors").String()), &docs); err != nil {
		panic(err)
	}
	figures, err := measure(docs)
	doc := map[string]any{"figures": figures}
	if err != nil {
		doc["error"] = err.Error()
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	js.Global().Call("done", string(b))
}
