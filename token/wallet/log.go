// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package wallet

import "log/slog"

// LogValue returns a placeholder in place of the secret. The browser's core has
// no logger and doesn't link one for it.
func (hidden) LogValue() slog.Value { return slog.StringValue(hiddenText) }
