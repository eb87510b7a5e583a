// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"io/fs"
)

// Files returns the web app that was embedded when this program was built, as the
// build wrote it: its files, their compressed forms, and manifest.json, which
// names them. The error says so where the program was built without the page.
func Files() (fs.FS, error) {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		return nil, err
	}
	if _, err := load(dist); err != nil {
		return nil, err
	}
	return dist, nil
}
