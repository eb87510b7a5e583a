// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Loads the parts that a first load does without.
//
// A browser checks the scripts that index.html names by the digests there. For
// import() it would need an import map, which is an inline script, and the page's
// policy forbids those. So each file is fetched by a link with its digest first:
// import() then takes what the link brought. A page that is served with
// Integrity-Policy refuses an import() that had no such link.

/**
 * Loads a part. `files` is written 'lazy:NAME' in the source, NAME being the
 * imported file's without its ending; web/build puts the part's files and their
 * digests in its place.
 */
export async function lazy<T>(files: string, load: () => Promise<T>): Promise<T> {
  if (!files.startsWith('lazy:')) {
    const words = files.split(' ');
    for (let i = 0; i + 1 < words.length; i += 2) await preload(words[i]!, words[i + 1]!);
  }
  return load();
}

const asked = new Map<string, Promise<void>>();

function preload(href: string, integrity: string): Promise<void> {
  let p = asked.get(href);
  if (!p) {
    p = new Promise<void>((resolve, reject) => {
      const link = document.createElement('link');
      link.rel = 'modulepreload';
      link.integrity = integrity;
      link.onload = () => resolve();
      link.onerror = () => {
        asked.delete(href); // offline: the next one asks again
        link.remove();
        reject(new Error(`${href} could not be loaded, or is not what was published`));
      };
      link.href = href;
      document.head.append(link);
    });
    asked.set(href, p);
  }
  return p;
}
