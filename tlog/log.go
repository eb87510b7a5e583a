// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package tlog

import "log/slog"

// The browser logs nothing, and package log/slog would be a part of its core.

// LogValue hides the key.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
