// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Code colours, in a chunk of their own: loaded with the first code block that
// names a language.

import { common, createLowlight } from 'lowlight';

const lowlight = createLowlight(common);
lowlight.registerAlias({ bash: ['shell', 'zsh', 'console'], javascript: ['mjs', 'cjs'], typescript: ['mts', 'tsx'] });

/** A run of code and the class that colours it, '' for none. */
export type Run = readonly [text: string, cls: string];

type Node = ReturnType<typeof lowlight.highlight>['children'][number];

/** The runs of `code`, in order, or null where the language isn't known. */
export function highlight(code: string, lang: string): Run[] | null {
  if (!lowlight.registered(lang)) return null;
  const runs: Run[] = [];
  const walk = (nodes: Node[], cls: string): void => {
    for (const n of nodes) {
      if (n.type === 'text') runs.push([n.value, cls]);
      else if (n.type === 'element') {
        const own = n.properties.className;
        walk(n.children as Node[], Array.isArray(own) ? own.join(' ') : cls);
      }
    }
  };
  walk(lowlight.highlight(lang, code).children, '');
  return runs;
}
