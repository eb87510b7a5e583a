// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package token

import "log/slog"

// What logs are told of a secret. Formatting and JSON say the same without this;
// the browser's core has no logger and doesn't link one for it.

// LogValue returns a placeholder in place of the secret.
func (hidden) LogValue() slog.Value { return slog.StringValue(hiddenText) }
