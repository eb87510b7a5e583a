// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Requests to the account server: package account's HTTP interface.

import type { CoreError } from '../core/protocol.ts';

const OFFLINE = 'The server can’t be reached. Check your connection, then try again.';

/** What the account server answered instead of a result, or that it didn't. */
export class ApiError extends Error implements CoreError {
  constructor(
    readonly code: string,
    message: string,
    /** 0 when no answer came. */
    readonly status: number,
    /** All that was answered. */
    readonly body = '',
  ) {
    super(message);
  }

  /** No answer came: the same request may be sent again. */
  get offline(): boolean {
    return this.status === 0 || this.status >= 500;
  }
}

/** The key of a run of `sotto app`, which serves this page then: '' on an ordinary site. */
let appKey = '';

export function setAppKey(key: string): void {
  appKey = key;
}

/** Whether a `sotto app` serves this page, as far as the page was given the key of one. */
export function inApp(): boolean {
  return appKey !== '';
}

/** Where a request to another server goes, and with what: in the app, to the program that serves it. */
export function throughApp(url: string): [string, Record<string, string>] {
  if (appKey === '' || url.startsWith('/')) return [url, {}];
  const keys = '/ohttp-keys';
  const relay = url.endsWith(keys) ? url.slice(0, -keys.length) : url;
  return ['/relay' + url.slice(relay.length), { 'Sotto-App': appKey, 'Sotto-Relay': relay }];
}

/** The path with the key, for requests that can have no header of ours. */
export function withAppKey(path: string): string {
  return appKey === '' ? path : `${path}?app=${appKey}`;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** Sends JSON to /api/v1/`path` and returns the answer's text, '' for none. */
export async function apiText(method: Method, path: string, body?: string): Promise<string> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...(appKey === '' ? {} : { 'Sotto-App': appKey }) },
      ...(body === undefined ? {} : { body }),
    });
    text = await response.text();
  } catch {
    throw new ApiError('offline', OFFLINE, 0);
  }
  if (response.ok) return text;
  throw refused(response.status, text);
}

/** Sends JSON to /api/v1/`path` and returns the JSON of the answer. */
export async function api<T>(method: Method, path: string, body?: unknown): Promise<T> {
  const text = await apiText(method, path, body === undefined ? undefined : JSON.stringify(body));
  return (text === '' ? {} : JSON.parse(text)) as T;
}

function refused(status: number, text: string): ApiError {
  try {
    const { error } = JSON.parse(text) as { error: { code: unknown; message: unknown } };
    if (typeof error.code === 'string' && typeof error.message === 'string') return new ApiError(error.code, error.message, status, text);
  } catch {
    // Not the account server's own words: something on the way answered.
  }
  return new ApiError('offline', OFFLINE, status);
}
