// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
)

// Four megabytes of empty pieces would take 270 to decode, and seconds. More
// commas than a bundle can have are refused before that; as many are not.
func TestManyPiecesAreNotDecoded(t *testing.T) {
	full := attest.Bundle{V: 1, KeyConfig: []byte("{}"), Checkpoint: []byte("log")}
	for range attest.MaxEvidence {
		full.Evidence = append(full.Evidence, attest.Evidence{Platform: "snp", Data: []byte("x")})
	}
	doc, err := full.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attest.ParseBundle(doc); err != nil {
		t.Errorf("a bundle of all that may be: %v", err)
	}
	commas := strings.Count(string(doc), ",")
	for n, want := range map[int]string{
		commas:      "it is not in canonical form",
		commas + 1:  "evidence is not a list of 1 to 32",
		1_000_000:   "evidence is not a list of 1 to 32",
		4 << 20 / 3: "evidence is not a list of 1 to 32",
	} {
		doc := `{"v":1,"key_config":"e30=","evidence":[` + strings.Repeat("{},", n-2) + `{}]}`
		if _, err := attest.ParseBundle([]byte(doc)); err == nil || err.Error() != want {
			t.Errorf("%d commas: %v", n, err)
		}
	}
}
