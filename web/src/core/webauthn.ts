// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Passkey ceremonies (WebAuthn level 3) with the PRF extension.
//
// The PRF output opens the vault. `credential.toJSON()` would write it into a
// document that is meant for the server, so nothing here calls that: what is
// sent is put together field by field, and extension results are no part of it.

import type { CoreError } from './protocol.ts';
import type { CredentialDoc, Given, OptionsDoc } from './wire.ts';

type Bytes = Uint8Array<ArrayBuffer>;

interface PrfResults {
  prf?: { enabled?: boolean; results?: { first?: BufferSource } };
}

/** Makes a passkey for the server's options and asks for its key. */
export async function makePasskey(options: OptionsDoc): Promise<Given> {
  const { extensions: _, ...rest } = options;
  const publicKey = creationOptions(rest);
  publicKey.authenticatorSelection = { ...publicKey.authenticatorSelection, userVerification: 'required' };
  publicKey.extensions = await prfExtension();
  const made = (await ceremony(() => navigator.credentials.create({ publicKey }))) as PublicKeyCredential;
  const response = made.response as AuthenticatorAttestationResponse;
  const results = made.getClientExtensionResults() as PrfResults;
  let prf = take(results);
  if (!prf && results.prf?.enabled) {
    // Some authenticators give the key only when the passkey is used.
    prf = await usePasskey([made.id]).then(
      (given) => given.prf,
      () => null,
    );
  }
  return {
    credential: document(made, {
      clientDataJSON: encode(response.clientDataJSON),
      attestationObject: encode(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    }),
    prf,
  };
}

/** Has a passkey answer the server's question. */
export async function answerWithPasskey(options: OptionsDoc): Promise<Given> {
  const { extensions: _, ...rest } = options;
  return get(requestOptions(rest));
}

/** Asks one of these passkeys for its key, without any server. */
export function usePasskey(ids: string[]): Promise<Given> {
  return get({
    challenge: crypto.getRandomValues(new Uint8Array(32)),
    allowCredentials: ids.map((id) => ({ type: 'public-key', id: decode(id) })),
  });
}

async function get(publicKey: PublicKeyCredentialRequestOptions): Promise<Given> {
  // The vault opens for the person, not for whoever holds the device, whatever a server asks for.
  publicKey.userVerification = 'required';
  publicKey.extensions = await prfExtension();
  const used = (await ceremony(() => navigator.credentials.get({ publicKey }))) as PublicKeyCredential;
  const response = used.response as AuthenticatorAssertionResponse;
  return {
    credential: document(used, {
      clientDataJSON: encode(response.clientDataJSON),
      authenticatorData: encode(response.authenticatorData),
      signature: encode(response.signature),
      userHandle: response.userHandle ? encode(response.userHandle) : undefined,
    }),
    prf: take(used.getClientExtensionResults() as PrfResults),
  };
}

/** Asks for the vault's key: spec/vault.md, "Passkeys". */
async function prfExtension(): Promise<AuthenticationExtensionsClientInputs> {
  const first = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('sotto/1 vault prf'));
  return { prf: { eval: { first } } } as AuthenticationExtensionsClientInputs;
}

/** Copies the PRF output out and overwrites it where it was. */
function take(results: PrfResults): Bytes | null {
  const first = results.prf?.results?.first;
  if (!first) return null;
  const view = ArrayBuffer.isView(first)
    ? new Uint8Array(first.buffer, first.byteOffset, first.byteLength)
    : new Uint8Array(first);
  const copy = new Uint8Array(view);
  view.fill(0);
  return copy.length === 32 ? copy : null;
}

function document(c: PublicKeyCredential, response: CredentialDoc['response']): CredentialDoc {
  return {
    id: c.id,
    rawId: encode(c.rawId),
    type: c.type,
    ...(c.authenticatorAttachment ? { authenticatorAttachment: c.authenticatorAttachment } : {}),
    response,
    clientExtensionResults: {},
  };
}

/** Runs a ceremony and gives its failures words. */
async function ceremony(f: () => Promise<Credential | null>): Promise<Credential> {
  if (!('credentials' in navigator) || !('PublicKeyCredential' in globalThis)) {
    throw error('no_passkeys', 'This browser has no passkeys. Use another one, or open this page at https:// or at localhost.');
  }
  try {
    const c = await f();
    if (c) return c;
    throw error('cancelled', 'No passkey was used. Try again when you are ready.');
  } catch (e) {
    const name = e instanceof DOMException ? e.name : '';
    switch (name) {
      case 'NotAllowedError':
      case 'AbortError':
        throw error('cancelled', 'No passkey was used. Try again when you are ready.');
      case 'InvalidStateError':
        throw error('passkey_exists', 'This device has a passkey for this account already.');
      case 'SecurityError':
        throw error('no_passkeys', `Passkeys don’t work at ${location.host}. Open this page at https:// or at localhost.`);
      case 'NotSupportedError':
        throw error('no_passkeys', 'This device can’t make the kind of passkey that is needed. Use another device or a security key.');
    }
    throw e;
  }
}

function error(code: string, message: string): CoreError {
  return { code, message };
}

interface Described {
  id: string;
  type: string;
  transports?: string[];
}

function creationOptions(o: OptionsDoc): PublicKeyCredentialCreationOptions {
  const user = o['user'] as { id: string; name: string; displayName: string };
  return {
    ...(o as unknown as PublicKeyCredentialCreationOptions),
    challenge: decode(o['challenge'] as string),
    user: { ...user, id: decode(user.id) },
    excludeCredentials: described(o['excludeCredentials']),
  };
}

function requestOptions(o: OptionsDoc): PublicKeyCredentialRequestOptions {
  return {
    ...(o as unknown as PublicKeyCredentialRequestOptions),
    challenge: decode(o['challenge'] as string),
    allowCredentials: described(o['allowCredentials']),
  };
}

function described(list: unknown): PublicKeyCredentialDescriptor[] {
  return ((list ?? []) as Described[]).map((d) => ({
    id: decode(d.id),
    type: 'public-key',
    ...(d.transports ? { transports: d.transports as AuthenticatorTransport[] } : {}),
  }));
}

/** Base64url without padding (RFC 4648, section 5). */
export function encode(b: ArrayBuffer): string {
  let s = '';
  for (const c of new Uint8Array(b)) s += String.fromCharCode(c);
  return btoa(s).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

export function decode(s: string): Bytes {
  const binary = atob(s.replaceAll('-', '+').replaceAll('_', '/'));
  const b = new Uint8Array(binary.length);
  for (let i = 0; i < b.length; i++) b[i] = binary.charCodeAt(i);
  return b;
}
