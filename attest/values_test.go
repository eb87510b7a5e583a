// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sotto-chat/sotto/attest"
)

func TestReadValues(t *testing.T) {
	for _, tt := range []struct {
		list  []string
		sizes []int
		want  attest.Values
		wrong string
	}{
		{nil, []int{2}, nil, ""},
		{[]string{"0a0b"}, []int{2}, attest.Values{{10, 11}}, ""},
		{[]string{"0a0b", "0c"}, []int{2, 1}, attest.Values{{10, 11}, {12}}, ""},
		{[]string{}, []int{2}, nil, "chips is an empty list"},
		{[]string{"0a0b", "0a0b0c"}, []int{2}, nil, "chips holds something else than 2 bytes in lower-case hex"},
		{[]string{""}, []int{2}, nil, "2 bytes"},
		{[]string{"0a0B"}, []int{2}, nil, "2 bytes"},
		{[]string{"0a0g"}, []int{2}, nil, "2 bytes"},
		{[]string{"0a0b0"}, []int{2}, nil, "2 bytes"},
	} {
		got, err := attest.ReadValues("chips", tt.list, tt.sizes...)
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) || got != nil {
				t.Errorf("%q: %v, %v; want an error with %q", tt.list, got, err, tt.wrong)
			}
		} else if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %v, %v", tt.list, got, err)
		}
	}
	v := attest.Values{{1, 2}, {3, 4}}
	if !v.Has([]byte{3, 4}) || v.Has([]byte{3}) || v.Has(nil) || attest.Values(nil).Has([]byte{1}) {
		t.Error("Has is wrong")
	}
	if s := v.String(); s != "0102 or 0304" {
		t.Errorf("String is %q", s)
	}
}
