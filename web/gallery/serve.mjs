// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Serves a built gallery on loopback, under the product's own policy.

import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; " +
  "frame-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
  "require-trusted-types-for 'script'; trusted-types 'none'";

/** Answers the address and a way to end it. */
export function serve(dir) {
  const server = createServer((req, res) => {
    const path = normalize(new URL(req.url, 'http://x').pathname);
    const file = join(dir, path);
    if (path === '/core.html') {
      // The page has a frame for the real core; here nothing is in it.
      res.setHeader('content-security-policy', "default-src 'none'; frame-ancestors 'self'");
      res.setHeader('content-type', 'text/html; charset=utf-8');
      res.end('<!doctype html><title>Core</title>');
      return;
    }
    const found = extname(path) in TYPES && existsSync(file);
    res.setHeader('content-type', found ? TYPES[extname(path)] : 'text/html; charset=utf-8');
    res.setHeader('content-security-policy', POLICY);
    createReadStream(found ? file : join(dir, 'index.html')).pipe(res);
  });
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () =>
      resolve({ url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }),
    ),
  );
}

/** How Chromium is started in every test of the page. */
export const CHROMIUM = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
};
