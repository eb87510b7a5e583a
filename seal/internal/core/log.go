// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package core

import "log/slog"

// What logs are told of a secret. Formatting and JSON say the same without this;
// it is for handlers that look into values by other ways. The browser's core has
// no logger and doesn't link one for it.

// LogValue returns a placeholder in place of the secret.
func (Hidden) LogValue() slog.Value { return slog.StringValue(HiddenText) }
