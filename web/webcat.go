// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/sotto-chat/sotto/web/headers"
)

// webcatPrefix is where WEBCAT's browser extension looks for a site's enrolment
// (github.com/freedomofpress/webcat-spec, "Server configuration").
const webcatPrefix = "/.well-known/webcat/"

// maxWebCAT is the most bytes of one of the files below it.
const maxWebCAT = 1 << 20

// webcatFiles are the files that there may be: the enrolment says whose signatures
// count, the bundle holds the enrolment with a signed manifest of the page, and
// those with "prev" are of before a change.
var webcatFiles = []string{"enrollment.json", "bundle.json", "enrollment-prev.json", "bundle-prev.json"}

// WebCAT serves the enrolment files in dir below /.well-known/webcat/, and leaves
// everything else to next. The two that a browser needs have to be there. A bundle
// that isn't of the page in dist is refused: with the extension, nobody could open
// the site.
func WebCAT(dir, dist fs.FS, next http.Handler) (http.Handler, error) {
	assets, err := load(dist)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range webcatFiles {
		b, err := fs.ReadFile(dir, name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, "-prev.json"):
			continue
		case err != nil:
			return nil, fmt.Errorf("webcat: %w", err)
		case len(b) > maxWebCAT || !json.Valid(b):
			return nil, fmt.Errorf("webcat: %s is not JSON of at most %d bytes", name, maxWebCAT)
		}
		files[webcatPrefix+name] = b
	}
	if err := checkBundle(files[webcatPrefix+"bundle.json"], files[webcatPrefix+"enrollment.json"], assets); err != nil {
		return nil, fmt.Errorf("webcat: bundle.json: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := files[r.URL.Path]
		if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		secure(w.Header(), "file")
		w.Header().Set("Content-Type", headers.Types[".json"])
		w.Header().Set("Cache-Control", "no-cache")
		if r.Method == http.MethodGet {
			w.Write(b) // the browser is gone if this fails: nobody is left to tell
		}
	}), nil
}

// checkBundle compares a bundle with what is served: each file by its digest, WASM
// in a list of its own.
func checkBundle(bundle, enrollment []byte, assets map[string]*asset) error {
	var b struct {
		Enrollment json.RawMessage `json:"enrollment"`
		Manifest   struct {
			Files map[string]string `json:"files"`
			WASM  []string          `json:"wasm"`
		} `json:"manifest"`
		Signatures json.RawMessage `json:"signatures"`
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		return errors.New("it has another form")
	}
	if !sameJSON(b.Enrollment, enrollment) {
		return errors.New("its enrolment is not the one in enrollment.json")
	}
	if s := bytes.TrimSpace(b.Signatures); len(s) <= 2 {
		return errors.New("its manifest is not signed")
	}
	for p, a := range assets {
		if p == "manifest.json" || p == "files.json" {
			continue // say what the files are, and aren't among them
		}
		raw, err := hex.DecodeString(a.digest)
		if err != nil {
			return err
		}
		want := base64.RawURLEncoding.EncodeToString(raw)
		found := b.Manifest.Files["/"+p]
		if strings.HasSuffix(p, ".wasm") {
			found = ""
			for _, d := range b.Manifest.WASM {
				if strings.TrimRight(d, "=") == want {
					found = want
				}
			}
		}
		if strings.TrimRight(found, "=") != want {
			return fmt.Errorf("it is of another page: /%s is not as in this program", p)
		}
	}
	return nil
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	one, err := json.Marshal(x)
	two, err2 := json.Marshal(y)
	return err == nil && err2 == nil && bytes.Equal(one, two)
}
