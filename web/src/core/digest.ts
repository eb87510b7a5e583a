// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

/** The SHA-256 of bytes in the form that browsers compare: "sha256-" and base64. */
export async function integrity(bytes: ArrayBuffer): Promise<string> {
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return `sha256-${btoa(String.fromCharCode(...sum))}`;
}

/** What a file that isn't the published one is refused with. */
export class NotPublished extends Error {
  readonly code = 'page_changed';
  constructor(what: string) {
    super(`${what} is not the one that belongs to this page, so it was not started. Nothing was sent. Reload; if it happens again, somebody has changed it.`);
  }
}
