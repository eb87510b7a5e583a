// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package needs says what happens to a test whose tool isn't there. A person who
// runs go test on a part of the code may lack a browser or a model server, and
// the test is skipped. make test installs them all and sets SOTTO_TEST_ALL=1:
// what is missing then is a failure, since a test that is skipped on a fresh
// machine doesn't exist.
package needs

import (
	"os"
	"testing"
)

// Missing skips or fails t because of what isn't there.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("SOTTO_TEST_ALL") == "1" {
		t.Fatalf("needs %s, and SOTTO_TEST_ALL=1 says that it is there", what)
	}
	t.Skipf("needs %s", what)
}
