// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package slowbody

import (
	"bytes"
	"io"
	"testing"
	"time"
)

func TestReader(t *testing.T) {
	const rate = 1000
	first := time.Unix(100, 0)
	for _, tt := range []struct {
		name string
		step int   // bytes of each read
		come int64 // bytes that come
		size int64 // bytes that were claimed
		want []int64
	}{
		{"claims all and sends nothing", 100, 0, 1 << 30, nil},
		{"a little of much", 100, 999, 1 << 30, nil},
		{"as it comes", 500, 3200, 1 << 30, []int64{101, 102, 103}},
		{"in one piece", 5000, 3200, 1 << 30, []int64{103}},
		{"all of it", 500, 3000, 3000, []int64{101, 102}},
		{"less than a second's worth", 500, 900, 900, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var set []int64
			r := Reader(bytes.NewReader(make([]byte, tt.come)), tt.size, rate, first, func(at time.Time) error {
				set = append(set, at.Unix())
				return nil
			})
			var got int64
			p := make([]byte, tt.step)
			for {
				n, err := r.Read(p)
				got += int64(n)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if got != tt.come {
				t.Errorf("%d bytes of %d", got, tt.come)
			}
			if len(set) != len(tt.want) {
				t.Fatalf("deadlines %v, want %v", set, tt.want)
			}
			for i := range set {
				if set[i] != tt.want[i] {
					t.Errorf("deadlines %v, want %v", set, tt.want)
				}
			}
		})
	}
}
