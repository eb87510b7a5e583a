// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef, useState } from 'preact/hooks';
import { sentence } from './errors.ts';

export interface Task {
  busy: boolean;
  /** A plain sentence, '' when all is well. */
  error: string;
  setError: (s: string) => void;
  /** Runs one thing at a time. `caught` may take an error for itself by answering true. */
  run: (f: () => Promise<unknown>, caught?: (e: unknown) => boolean) => void;
}

/** One thing a person asked for: whether it runs, and what went wrong. */
export function useTask(): Task {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const here = useRef(true);
  useEffect(() => () => void (here.current = false), []);
  const run: Task['run'] = (f, caught) => {
    if (busy) return;
    setBusy(true);
    setError('');
    f()
      .catch((e) => {
        if (here.current && !caught?.(e)) setError(sentence(e));
      })
      .finally(() => here.current && setBusy(false));
  };
  return { busy, error, setError, run };
}
