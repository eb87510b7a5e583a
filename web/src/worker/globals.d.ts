// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

/** Go's own loader, from the toolchain that compiled the core (see web/build). */
declare module 'go/wasm_exec' {}

declare class Go {
  importObject: WebAssembly.Imports;
  run(instance: WebAssembly.Instance): Promise<void>;
}

/** The hashed URL of the compiled core, put in by web/build. */
declare const __WASM_URL__: string;
/** Its SHA-256, as `integrity` of core/digest.ts writes it. */
declare const __WASM_INTEGRITY__: string;

/** What this page wants of machines, as JSON, put in by web/build; '' for the strict rules alone. */
declare const __POLICY__: string;
