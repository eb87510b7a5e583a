// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import { render } from 'preact';
import type { Core } from '../core/protocol.ts';
import { App } from './app.tsx';
import { Store } from './store.ts';

/** Shows the page at once, then starts the core behind it. */
export function start(connect: () => Core | Promise<Core>): Store {
  const store = new Store();
  render(<App store={store} />, document.getElementById('app')!);
  void store.start(connect);
  return store;
}
