// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/andybalholm/brotli"
)

// compressible are the kinds of file worth compressing; the rest are already.
var compressible = []string{".html", ".js", ".css", ".wasm", ".svg", ".txt", ".json", ".webmanifest"}

// pack compresses the site's files and describes them. The result holds each
// file and, beside it, its .br and .gz.
func (s site) pack(cache string) (*Manifest, site, error) {
	m := &Manifest{V: 1}
	packed := site{}
	all := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(s)) {
		data := s[p]
		sum := sha256.Sum256(data)
		f := File{Path: p, SHA256: hex.EncodeToString(sum[:]), Size: len(data), Fixed: path.Dir(p) != "a"}
		fmt.Fprintf(all, "%s\x00%s\n", p, f.SHA256)
		packed[p] = data
		if slices.Contains(compressible, path.Ext(p)) {
			br, err := compressed(cache, f.SHA256, "br", data, func(w io.Writer) io.WriteCloser {
				return brotli.NewWriterLevel(w, brotli.BestCompression)
			})
			if err != nil {
				return nil, nil, err
			}
			gz, err := compressed(cache, f.SHA256, "gz", data, func(w io.Writer) io.WriteCloser {
				z, _ := gzip.NewWriterLevel(w, gzip.BestCompression) // the level is valid
				return z
			})
			if err != nil {
				return nil, nil, err
			}
			if len(br) < len(data) {
				packed[p+".br"], f.Brotli = br, len(br)
			}
			if len(gz) < len(data) {
				packed[p+".gz"], f.Gzip = gz, len(gz)
			}
		}
		m.Files = append(m.Files, f)
	}
	m.Digest = hex.EncodeToString(all.Sum(nil))
	return m, packed, nil
}

// compressed returns data in one encoding, from the cache if it is there: brotli
// of the core at its best takes many seconds.
func compressed(cache, digest, ext string, data []byte, writer func(io.Writer) io.WriteCloser) ([]byte, error) {
	file := filepath.Join(cache, digest+"."+ext)
	if cache != "" {
		b, err := os.ReadFile(file)
		if err == nil {
			return b, nil
		}
		if !os.IsNotExist(err) {
			return nil, err
		}
	}
	var buf bytes.Buffer
	w := writer(&buf)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if cache == "" {
		return buf.Bytes(), nil
	}
	// Written aside and renamed, so that a build that is cut short leaves no
	// half of a file for the next one.
	if err := os.MkdirAll(cache, fs.FileMode(0o755)); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(cache, "new-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(buf.Bytes()); err != nil {
		tmp.Close()
		return nil, err
	}
	if err := tmp.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), os.Rename(tmp.Name(), file)
}
