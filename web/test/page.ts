// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A page with no screens: the core alone, for smoke.mjs to drive.

import './page.css';
import { connect } from '../src/core/core.ts';
import type { Core, CoreEvent } from '../src/core/protocol.ts';

interface Test {
  core: Core;
  events: CoreEvent[];
  /** The newest event of a kind. */
  last: (t: CoreEvent['t']) => CoreEvent | undefined;
  violations: string[];
  /** Milliseconds from the page's start to each session state. */
  times: Record<string, number>;
}

const violations: string[] = [];
addEventListener('securitypolicyviolation', (e) => violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));

const core = connect();
const events: CoreEvent[] = [];
const times: Record<string, number> = {};
core.on((e) => {
  events.push(e);
  if (e.t === 'session') times[e.session.state] ??= performance.now();
  if (e.t === 'trust') times[`trust ${e.trust.state}`] ??= performance.now();
});
(globalThis as { test?: Test }).test = { core, events, last: (t) => events.findLast((e) => e.t === t), violations, times };
