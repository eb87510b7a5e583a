// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A network that fails when a test wants: passes bytes on to a loopback port
// and cuts every connection on demand.

import { connect, createServer } from 'node:net';

/** Resolves to { port, to(port), cut(), down(bool), close() }. */
export async function dropper() {
  const open = new Set();
  let target = 0, down = false;
  const server = createServer((a) => {
    if (down) {
      a.destroy();
      return;
    }
    const b = connect(target, '127.0.0.1');
    open.add(a);
    const end = () => {
      open.delete(a);
      a.destroy();
      b.destroy();
    };
    a.pipe(b);
    b.pipe(a);
    for (const s of [a, b]) {
      s.on('error', end);
      s.on('close', end);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const a of [...open]) a.destroy();
  };
  return {
    port: server.address().port,
    to: (port) => { target = port; },
    cut,
    down: (on) => {
      down = on;
      if (on) cut();
    },
    close: () => new Promise((resolve) => {
      cut();
      server.close(resolve);
    }),
  };
}
