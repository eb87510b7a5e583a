// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tdxdata

// TrimLog is for the tests, whose fake machine imports this package.
var TrimLog = trimLog
