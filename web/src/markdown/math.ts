// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Mathematics, in a chunk of its own: loaded with the first formula.

import katex from 'katex';

/** Draws TeX into `into` as MathML. Answers false, leaving it empty, where the TeX is wrong. */
export function drawMath(tex: string, display: boolean, into: HTMLElement): boolean {
  into.replaceChildren();
  try {
    katex.render(tex, into, {
      displayMode: display,
      output: 'mathml',
      throwOnError: true,
      strict: 'ignore',
      trust: false,
      maxSize: 20,
      maxExpand: 200,
    });
    return true;
  } catch {
    into.replaceChildren();
    return false;
  }
}
