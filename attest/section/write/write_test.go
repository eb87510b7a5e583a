// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package write_test

import (
	"bytes"
	"testing"

	"github.com/sotto-chat/sotto/attest/section/write"
)

func TestAppend(t *testing.T) {
	got := write.Append(write.Append([]byte("x"), 7, []byte("ab")), 9, nil)
	if want := []byte("x\x07\x00\x00\x00\x02ab"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
