// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import './styles/index.css';
import { connect } from './core/core.ts';
import { start } from './ui/start.tsx';

start(connect);
