// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// What goes between the page's half of the core (core.ts) and the Worker's.
//
// Most of `Core` is answered by the Worker as it stands. What needs a passkey is
// split in two, because the ceremony runs in the page: the Worker makes the
// options, the page has the authenticator answer them, the Worker takes the
// answer. A passkey's PRF output goes this way once, as bytes that are moved and
// not copied, and is overwritten on arrival.

import type { Core, CoreError, CoreEvent, PageJudged, PageSeen, Passkey, Settings, SignUp } from './protocol.ts';

/** A credential as it is sent to the account server: without extension results. */
export interface CredentialDoc {
  id: string;
  rawId: string;
  type: string;
  authenticatorAttachment?: string;
  response: Record<string, string | string[] | undefined>;
  clientExtensionResults: Record<string, never>;
}

/** What a ceremony gave. */
export interface Given {
  credential: CredentialDoc;
  /** The PRF output, 32 bytes; null where the passkey gives none. */
  prf: Uint8Array<ArrayBuffer> | null;
}

/** Options as the server writes them: JSON of WebAuthn level 3. */
export type OptionsDoc = Record<string, unknown>;

export interface SignInOptions {
  /** Ask the server's question; null when only the history is locked. */
  server: OptionsDoc | null;
  /** Credential ids that open the history, where the server isn't asked. */
  allow: string[];
}

/** The methods of `Core` that the Worker answers as they stand. */
type Plain = Omit<
  Core,
  'on' | 'pageTold' | 'signUp' | 'signIn' | 'addPasskey' | 'lock' | 'link' | 'setSettings' | 'signOut' | 'forgetBrowser' | 'deleteAccount'
>;

/** Everything that the page asks of the Worker. */
export interface Calls extends Plain {
  signUpBegin(): Promise<OptionsDoc>;
  signUpMade(given: Given): Promise<SignUp>;
  signInBegin(): Promise<SignInOptions>;
  signInFinish(given: Given, local: boolean): Promise<void>;
  passkeyBegin(): Promise<OptionsDoc>;
  passkeyMade(given: Given): Promise<Passkey>;
  link(id: string, secret: string): Promise<{ name: string; code: string; expires: number }>;
  setSettings(s: Partial<Omit<Settings, 'theme'>>): Promise<void>;
  /** Ends the session at the server. The page starts the core anew after it. */
  signOut(): Promise<void>;
  /** Removes all that this browser keeps. The page starts the core anew after it. */
  forgetBrowser(): Promise<void>;
  deleteAccount(typed: string): Promise<void>;
  /** The key of the `sotto app` that serves this page, from the address that it printed. */
  appKey(key: string): Promise<void>;
  judgePage(seen: PageSeen): Promise<PageJudged>;
  /** The page is on the screen again, or the network is back. */
  wake(): Promise<void>;
  /** The page is left, perhaps for good. */
  rest(): Promise<void>;
  /** Says that the Worker is there. */
  ping(): Promise<void>;
}

export interface CallMessage {
  id: number;
  method: keyof Calls;
  args: unknown[];
}

/** An event as the Worker makes it: the theme is the page's. */
export type WorkerEvent = Exclude<CoreEvent, { t: 'settings' }> | { t: 'settings'; settings: Omit<Settings, 'theme'> };

export type WorkerMessage =
  | { id: number; value: unknown }
  | { id: number; error: CoreError }
  | { event: WorkerEvent }
  /** The session has ended or the core is broken: start it anew. */
  | { restart: 'ended' | 'broken' };

/** Makes a rejection of whatever was thrown. */
export function coreError(e: unknown): CoreError {
  if (typeof e === 'object' && e !== null && 'code' in e && 'message' in e && typeof e.code === 'string') {
    return { code: e.code, message: String(e.message) };
  }
  const what = e instanceof Error ? `${e.name}: ${e.message}` : String(e);
  return { code: 'internal', message: `Something went wrong that Sotto has no words for (${what}). Reload the page and try again.` };
}
