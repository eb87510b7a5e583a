// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The core's frame: a hidden document of our own origin that starts the Worker.
//
// The page forbids every Trusted Types policy, and with that also `new Worker`
// and the registration of a service worker. This frame allows one policy that
// lets their two URLs through, and makes nothing else. It hands the page one end
// of a channel whose other end the Worker has; no message passes through the
// frame itself.
//
// Browsers compare no digest of a Worker's script, so the frame does before it
// starts one: it fetches the script, and the Worker gets it from the browser's
// cache, or from the service worker, which compares again.

import { integrity, NotPublished } from './digest.ts';

declare const __WORKER_URL__: string;
declare const __WORKER_INTEGRITY__: string;

/** The service worker's script: see src/keeper/sw.ts. */
const KEEPER_URL = '/sw.js';

interface ScriptUrlPolicy {
  createScriptURL(url: string): unknown;
}
interface PolicyFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): ScriptUrlPolicy;
}

const policy = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes?.createPolicy('sotto-core', {
  createScriptURL(url) {
    if (url !== __WORKER_URL__ && url !== KEEPER_URL) throw new TypeError('not the core');
    return url;
  },
});

/** A script's URL in the form that the browser takes: a TrustedScriptURL, which the DOM's types still call a string. */
function script(url: string): string {
  return policy ? (policy.createScriptURL(url) as string) : url;
}

const { port1, port2 } = new MessageChannel();

async function startWorker(): Promise<void> {
  const answer = await fetch(__WORKER_URL__);
  if ((await integrity(await answer.arrayBuffer())) !== __WORKER_INTEGRITY__) {
    throw new NotPublished('The part that keeps your keys');
  }
  const worker = new Worker(script(__WORKER_URL__), { name: 'sotto' });
  worker.postMessage('page', [port1]);
  worker.addEventListener('error', (e) => failed(e.message));
}

function failed(reason: string, code?: string): void {
  parent.postMessage({ sotto: 'core failed', reason, code }, location.origin);
}

startWorker().catch((e: unknown) => {
  if (e instanceof NotPublished) failed(e.message, e.code);
  else failed(String(e));
});

// The frame may be here before the page's script, or after it: whoever is late
// finds the other waiting. The port goes out once.
addEventListener('message', function give(e: MessageEvent<unknown>) {
  if (e.source !== parent || e.origin !== location.origin || e.data !== 'port') return;
  removeEventListener('message', give);
  parent.postMessage({ sotto: 'core' }, location.origin, [port2]);
});
parent.postMessage({ sotto: 'here' }, location.origin);

// The page asks for the keeper when it has a release to put there: see src/keeper/keeper.ts.
addEventListener('message', (e: MessageEvent<unknown>) => {
  if (e.source !== parent || e.origin !== location.origin || e.data !== 'keeper') return;
  navigator.serviceWorker?.register(script(KEEPER_URL), { updateViaCache: 'none' }).catch(() => {}); // private windows may refuse: the page says that nothing is kept
});
