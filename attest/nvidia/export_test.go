// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package nvidia

import "github.com/sotto-chat/sotto/attest/cert"

// Certificates returns how many certificates the GPUs of evidence have, each that
// they share counted once.
func Certificates(data []byte) int {
	e, err := parse(data)
	if err != nil {
		return 0
	}
	all := map[*cert.Certificate]bool{}
	for _, g := range e.gpus {
		for _, c := range g.chain {
			all[c] = true
		}
	}
	return len(all)
}
