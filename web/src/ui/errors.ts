// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { CoreError } from '../core/protocol.ts';
import { t } from './strings.ts';

/** The plain sentence of whatever was thrown. */
export function sentence(e: unknown): string {
  return (e as Partial<CoreError> | undefined)?.message || t.unknownError;
}

/** The code of a core error, '' for anything else. */
export function codeOf(e: unknown): string {
  return (e as Partial<CoreError> | undefined)?.code ?? '';
}
