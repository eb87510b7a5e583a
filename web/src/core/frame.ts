// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The core's frame: a hidden document of our own origin that starts the Worker.
//
// The page forbids every Trusted Types policy, and with that also `new Worker`.
// This frame allows one policy that lets one URL through, and makes nothing but
// the Worker. It hands the page one end of a channel whose other end the Worker
// has; no message passes through the frame itself.

declare const __WORKER_URL__: string;

interface ScriptUrlPolicy {
  createScriptURL(url: string): unknown;
}
interface PolicyFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): ScriptUrlPolicy;
}

/** The Worker's URL in the form that the browser takes. */
function workerURL(): string {
  const factory = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes;
  if (!factory) return __WORKER_URL__;
  const policy = factory.createPolicy('sotto-core', {
    createScriptURL(url) {
      if (url !== __WORKER_URL__) throw new TypeError('not the core');
      return url;
    },
  });
  // A TrustedScriptURL, which the DOM's types still call a string.
  return policy.createScriptURL(__WORKER_URL__) as string;
}

const worker = new Worker(workerURL(), { name: 'sotto' });
const { port1, port2 } = new MessageChannel();
worker.postMessage('page', [port1]);
worker.addEventListener('error', (e) => {
  parent.postMessage({ sotto: 'core failed', reason: e.message }, location.origin);
});

// The frame may be here before the page's script, or after it: whoever is late
// finds the other waiting. The port goes out once.
addEventListener('message', function give(e: MessageEvent<unknown>) {
  if (e.source !== parent || e.origin !== location.origin || e.data !== 'port') return;
  removeEventListener('message', give);
  parent.postMessage({ sotto: 'core' }, location.origin, [port2]);
});
parent.postMessage({ sotto: 'here' }, location.origin);
