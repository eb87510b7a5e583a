// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package model holds the weights of the demo model: the language model that
// answers when no real one is connected.
//
// demo.gguf is our own: 1.3 million parameters in the shape of a
// Llama, F16, with a SentencePiece tokenizer of 1,536 pieces and a context of
// 1,024 tokens, trained on dialogues written for Sotto and on nothing else. Any
// program that reads GGUF runs it. The Python files beside it made it, and
// docs/demo-model.md says how, and how often its answers make sense.
//
// It is a demo and has to be called that wherever it shows. Best sampled at
// temperature 0.3 and top-p 0.9, as the file's general.sampling keys say: cool
// enough for its sums, warm enough that a story isn't always the same one.
package model

import _ "embed"

// GGUF is the file demo.gguf, read-only.
//
//go:embed demo.gguf
var GGUF []byte
