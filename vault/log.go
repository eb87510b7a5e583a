// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

//go:build !js

package vault

import "log/slog"

// What logs are told of a secret. Formatting and JSON say the same without this;
// it is for handlers that look into values by other ways. The browser's core has
// no logger and doesn't link one for it.

// LogValue returns a fixed text instead of the secret.
func (secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// LogValue returns a fixed text instead of the key.
func (RecoveryKey) LogValue() slog.Value { return slog.StringValue(hidden) }
