// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package crash kills Sotto's servers at random moments while clients write, and
// looks whether anything that was acknowledged is lost, or anything forks. It has
// nothing but a test: the programs are the real ones, in processes of their own.
package crash
