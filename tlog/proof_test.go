// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestParseProof(t *testing.T) {
	h := testTree.Root(9).String() + "\n"
	for _, tt := range []struct {
		name, text string
		detail     string
	}{
		{"nothing in it", proofHeader + "index 0\n\n", ""},
		{"a hash", proofHeader + "index 7\n" + h + "\no\n", ""},
		{"extra data", proofHeader + "extra AAAA\nindex 7\n" + h + h + "\no\n", ""},
		{"the largest index", proofHeader + "index 9223372036854775807\n\n", ""},
		{"as many hashes as there may be", proofHeader + "index 0\n" + strings.Repeat(h, 63) + "\n", ""},
		{"too many hashes", proofHeader + "index 0\n" + strings.Repeat(h, 64) + "\n", "too many hashes"},
		{"as long as it may be", proofHeader + "index 0\n\n" + strings.Repeat("x", MaxProof-len(proofHeader)-9), ""},
		{"too long", proofHeader + "index 0\n\n" + strings.Repeat("x", MaxProof-len(proofHeader)-8), "too long"},
		{"empty", "", "doesn't begin"},
		{"another version", "c2sp.org/tlog-proof@v2\nindex 0\n\n", "doesn't begin"},
		{"header with a return", "c2sp.org/tlog-proof@v1\r\nindex 0\n\n", "doesn't begin"},
		{"header only", proofHeader, "no index"},
		{"extra line only", proofHeader + "extra AAAA\n", "no index"},
		{"two extra lines", proofHeader + "extra AAAA\nextra AAAA\nindex 0\n\n", "no index"},
		{"extra data is empty", proofHeader + "extra \nindex 0\n\n", "extra line"},
		{"extra data is not base64", proofHeader + "extra AA*A\nindex 0\n\n", "extra line"},
		{"extra data has another encoding", proofHeader + "extra AAB=\nindex 0\n\n", "extra line"},
		{"extra without data", proofHeader + "extra\nindex 0\n\n", "no index"},
		{"no index", proofHeader + h + "\n", "no index"},
		{"a number alone", proofHeader + "7\n\n", "no index"},
		{"index without a number", proofHeader + "index \n\n", "no index"},
		{"index with a zero in front", proofHeader + "index 07\n\n", "no index"},
		{"negative index", proofHeader + "index -1\n\n", "no index"},
		{"index too large", proofHeader + "index 9223372036854775808\n\n", "no index"},
		{"index in capitals", proofHeader + "Index 0\n\n", "no index"},
		{"no end of the index", proofHeader + "index 0", "no empty line"},
		{"no empty line", proofHeader + "index 0\n" + h, "no empty line"},
		{"no end of a hash", proofHeader + "index 0\n" + h[:44], "no empty line"},
		{"a short hash", proofHeader + "index 0\nAAAA\n\n", "not a hash"},
		{"a hash with a return", proofHeader + "index 0\n" + h[:44] + "\r\n\n", "not a hash"},
		{"no hash", proofHeader + "index 0\nextra AAAA\n\n", "not a hash"},
	} {
		p, err := ParseProof([]byte(tt.text))
		if tt.detail != "" {
			wantFailure(t, tt.name, err, FailMalformed, tt.detail)
			continue
		}
		if err != nil || string(p.Encode()) != tt.text {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		}
	}
}

func TestProof(t *testing.T) {
	p := must(testTree.Proof(checkpoint(testTree, 600), 257))
	p.Extra = []byte("extra")
	back, err := ParseProof(p.Encode())
	if err != nil || !reflect.DeepEqual(back, p) {
		t.Fatalf("%+v, %v", back, err)
	}
	c, err := back.Verify(entry(257), testPolicy)
	if want := (Checkpoint{testLog.Name(), 600, testTree.Root(600), made, []string{"one", "three"}}); err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = back.Verify(entry(258), testPolicy)
	wantFailure(t, "another entry", err, FailUnlogged, "")
	back.Index++
	_, err = back.Verify(entry(257), testPolicy)
	wantFailure(t, "another index", err, FailUnlogged, "")
	back.Index--
	back.Checkpoint = checkpoint(testTree, 599)
	_, err = back.Verify(entry(257), testPolicy)
	wantFailure(t, "another size", err, FailUnlogged, "")
	back.Checkpoint = replace(p.Checkpoint, "600", "601")
	_, err = back.Verify(entry(257), testPolicy)
	wantFailure(t, "a changed checkpoint", err, FailSignature, "")
	if !bytes.HasSuffix(p.Encode(), p.Checkpoint) {
		t.Error("the checkpoint is not the end of the proof")
	}
}
