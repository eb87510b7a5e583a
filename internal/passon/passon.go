// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package passon is what programs have in common that hand others' answers to a
// browser at an origin of their own, where those others must not set or load
// anything.
package passon

import "net/http"

// AnswerOnly returns a writer that passes on an answer, and nothing of what comes
// ahead of it: the standard library's proxy hands on every 1xx status of whoever is
// behind it, with all headers, and asks nobody.
func AnswerOnly(w http.ResponseWriter) http.ResponseWriter { return answerOnly{w} }

type answerOnly struct{ http.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w answerOnly) WriteHeader(status int) {
	if status >= 200 {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Unwrap is for [http.NewResponseController], which looks for more than writing.
func (w answerOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }
