// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package join holds the test that tries to say whose message is whose, as somebody
// who has everything of the account and of the gateway: their tables, their logs, and
// what went over their wires. It has no code of its own.
package join
