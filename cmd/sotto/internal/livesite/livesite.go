// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package livesite compares the page that a site serves with the page that was
// published: every file byte for byte, in every encoding that browsers ask for, and
// the headers that decide what the page may do.
//
// It asks as a browser does. Even so, a server can give these bytes to whoever
// checks and others to one person; what it can't do any more is give others to
// everybody.
package livesite

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/andybalholm/brotli"

	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/web/headers"
)

// Limits of what a site may answer.
const (
	MaxFile = 64 << 20 // bytes of a file, unpacked
	timeout = 60 * time.Second
)

// What a [Difference] is about; a closed list.
const (
	Changed     = "changed"     // other bytes than the published ones
	Missing     = "missing"     // a published file that isn't served
	Extra       = "extra"       // something that a document loads and that wasn't published
	Header      = "header"      // a header that weakens the page, or a missing one that keeps it safe
	Unreadable  = "unreadable"  // an encoding that can't be undone, or more than a file can be
	Unreachable = "unreachable" // no answer
)

// A Difference is one way in which the site isn't as published.
type Difference struct {
	Path  string `json:"path"` // as it was asked for, from the root
	What  string `json:"what"`
	Want  string `json:"want,omitempty"`
	Found string `json:"found,omitempty"`
	Asked string `json:"asked,omitempty"` // the Accept-Encoding, where it matters
}

// An Answer is what the site said to one request.
type Answer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"` // those of [Watched] only
	Body   []byte      `json:"-"`      // as it travelled
}

// A Fetch asks the site for a path, with an Accept-Encoding ("" for none).
type Fetch func(ctx context.Context, path, accept string) (Answer, error)

// forbidden are headers that load, keep or report something by themselves, whatever
// the page's bytes are. None of them is ever sent by Sotto.
var forbidden = []string{
	"Clear-Site-Data", "Content-Security-Policy-Report-Only", "Integrity-Policy-Report-Only", "Link", "Location", "Nel", "Refresh",
	"Report-To", "Reporting-Endpoints", "Service-Worker-Allowed", "Set-Cookie", "Sourcemap", "Speculation-Rules", "X-Sourcemap",
}

// Watched are the headers that count, in their canonical form.
var Watched = watched()

func watched() []string {
	list := append([]string{"Content-Encoding", "Content-Type"}, forbidden...)
	for _, kind := range headers.Kinds() {
		for name := range headers.All(kind) {
			if name = http.CanonicalHeaderKey(name); !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return list
}

// New returns a Fetch for the site at base.
func New(base *url.URL) Fetch {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // what travels is compared, too
	c := &http.Client{
		Transport:     t,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, path, accept string) (Answer, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String()+path, nil)
		if err != nil {
			return Answer{}, err
		}
		ask(req.Header, path, accept)
		resp, err := c.Do(req)
		if err != nil {
			return Answer{}, err
		}
		defer resp.Body.Close()
		a := Answer{Status: resp.StatusCode, Header: http.Header{}}
		for _, name := range Watched {
			if v := resp.Header.Values(name); len(v) > 0 {
				a.Header[name] = v
			}
		}
		if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxFile+1)); err != nil {
			return Answer{}, err
		}
		return a, nil
	}
}

// browsers is what a browser says that it can read.
const browsers = "gzip, deflate, br, zstd"

// ask sets headers as a browser has them, so that a server can't tell a check from a
// visit by them.
func ask(h http.Header, path, accept string) {
	h.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36")
	h.Set("Accept-Language", "en-GB,en;q=0.9")
	if accept == "" {
		accept = "identity"
	}
	h.Set("Accept-Encoding", accept)
	switch {
	case path == "/" || strings.HasPrefix(path, "/chat/") || strings.HasPrefix(path, "/link/") || strings.HasPrefix(path, "/settings"):
		h.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8")
		h.Set("Sec-Fetch-Dest", "document")
		h.Set("Sec-Fetch-Mode", "navigate")
		h.Set("Sec-Fetch-Site", "none")
	default:
		h.Set("Accept", "*/*")
		h.Set("Sec-Fetch-Dest", "empty")
		h.Set("Sec-Fetch-Mode", "cors")
		h.Set("Sec-Fetch-Site", "same-origin")
	}
}

// routes are addresses at which the app itself shows something: index.html.
var routes = []string{"/", "/settings", "/settings/devices", "/chat/00000000000000000000000000000000", "/link/00000000000000000000000000000000"}

// EntranceNames are the files that say, by digest or name, what everything else is:
// with these as published, and a browser that keeps to them, so is the rest.
var EntranceNames = []string{"core.html", "index.html", headers.ServiceWorkerPath}

// Entrances returns those of files that have one of [EntranceNames].
func Entrances(files []release.File) []release.File {
	var out []release.File
	for _, f := range files {
		if slices.Contains(EntranceNames, f.Path) {
			out = append(out, f)
		}
	}
	return out
}

// Path is where a file of the site is asked for.
func Path(file string) string {
	if file == "index.html" {
		return "/"
	}
	return "/" + file
}

// Compare fetches every published file, in every encoding, and says what differs:
// nothing where the site is as published. progress, if it isn't nil, hears of each
// file. The page may ask the relays at the given URLs, which the release names.
func Compare(ctx context.Context, files []release.File, fetch Fetch, progress func(path string), relays ...string) []Difference {
	var out []Difference
	for _, f := range files {
		if progress != nil {
			progress(f.Path)
		}
		paths := []string{Path(f.Path)}
		if f.Path == "index.html" {
			paths = routes
		}
		for _, p := range paths {
			for _, accept := range []string{"", "gzip", "br", browsers} {
				out = append(out, One(ctx, files, f, p, accept, fetch, relays...)...)
			}
		}
	}
	return merge(out)
}

// One asks for one file at one path and compares.
func One(ctx context.Context, all []release.File, f release.File, path, accept string, fetch Fetch, relays ...string) []Difference {
	a, err := fetch(ctx, path, accept)
	if err != nil {
		return []Difference{{Path: path, What: Unreachable, Found: plainError(err), Asked: accept}}
	}
	return Judge(all, f, path, accept, a, relays...)
}

// Judge compares an answer with what was published of a file; all is everything that
// was published, for what a changed document loads.
func Judge(all []release.File, f release.File, path, accept string, a Answer, relays ...string) []Difference {
	if a.Status != http.StatusOK {
		return []Difference{{Path: path, What: Missing, Want: f.SHA256, Found: fmt.Sprintf("HTTP status %d", a.Status), Asked: accept}}
	}
	out := judgeHeaders(f.Path, path, accept, a.Header, relays)
	body, err := decode(a)
	if err != nil {
		return append(out, Difference{Path: path, What: Unreadable, Want: f.SHA256, Found: err.Error(), Asked: accept})
	}
	if found := release.Digest(body); found != f.SHA256 {
		out = append(out, Difference{Path: path, What: Changed, Want: f.SHA256, Found: found, Asked: accept})
		if strings.HasSuffix(f.Path, ".html") {
			for _, x := range loads(body, all) {
				out = append(out, Difference{Path: path, What: Extra, Found: x, Asked: accept})
			}
		}
	}
	return out
}

// decode undoes the answer's encoding.
func decode(a Answer) ([]byte, error) {
	if len(a.Body) > MaxFile {
		return nil, errors.New("longer than any file of the page")
	}
	var r io.Reader
	switch e := strings.ToLower(strings.Join(a.Header.Values("Content-Encoding"), ", ")); e {
	case "", "identity":
		return a.Body, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(a.Body))
		if err != nil {
			return nil, errors.New("not the gzip that it says it is")
		}
		r = z
	case "br":
		r = brotli.NewReader(bytes.NewReader(a.Body))
	default:
		return nil, fmt.Errorf("an encoding that Sotto doesn’t serve: %q", e)
	}
	b, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, errors.New("compressed bytes that can’t be unpacked")
	}
	if len(b) > MaxFile {
		return nil, errors.New("longer than any file of the page")
	}
	return b, nil
}

// judgeHeaders compares the headers of a file with what this program would send.
func judgeHeaders(file, path, accept string, h http.Header, relays []string) []Difference {
	var out []Difference
	differ := func(name, want string, found []string) {
		out = append(out, Difference{Path: path, What: Header, Want: name + ": " + want, Found: strings.Join(found, ", "), Asked: accept})
	}
	want := headers.Of(file)
	for name, value := range headers.Reaching(headers.Kind(file), headers.Origins(relays)) {
		want[name] = value
	}
	for _, name := range sorted(want) {
		found := h.Values(name)
		switch {
		case name == "Content-Security-Policy":
			if !slices.ContainsFunc(found, func(v string) bool { return asStrict(v, want[name]) }) {
				differ(name, want[name], found)
			}
		case !slices.Equal(found, []string{want[name]}):
			differ(name, want[name], found)
		}
	}
	for _, name := range forbidden {
		if v := h.Values(name); len(v) > 0 {
			differ(name, "not there", v)
		}
	}
	return out
}

func sorted(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// asStrict reports whether a content security policy allows nothing that want doesn't:
// it has every directive of want, and each with no source that want's lacks. A
// directive that want doesn't have falls back to default-src 'none' there, so it may
// allow nothing either.
func asStrict(policy, want string) bool {
	p, w := directives(policy), directives(want)
	if p == nil {
		return false
	}
	for name, sources := range w {
		have, ok := p[name]
		if !ok {
			return false
		}
		if name == "require-trusted-types-for" { // names what it forbids
			if !slices.Equal(have, sources) {
				return false
			}
			continue
		}
		for _, s := range have {
			if s != "'none'" && !slices.Contains(sources, s) {
				return false
			}
		}
	}
	for name, sources := range p {
		if _, ok := w[name]; ok {
			continue
		}
		switch name {
		case "upgrade-insecure-requests", "block-all-mixed-content", "sandbox":
			continue // take away, and give nothing
		}
		if slices.ContainsFunc(sources, func(s string) bool { return s != "'none'" }) {
			return false
		}
	}
	return true
}

// directives parses a policy; nil where a header holds several, or a directive twice.
func directives(policy string) map[string][]string {
	if strings.Contains(policy, ",") {
		return nil
	}
	out := map[string][]string{}
	for part := range strings.SplitSeq(policy, ";") {
		f := strings.Fields(part)
		if len(f) == 0 {
			continue
		}
		name := strings.ToLower(f[0])
		if _, twice := out[name]; twice {
			return nil
		}
		out[name] = f[1:]
	}
	return out
}

var (
	element   = regexp.MustCompile(`(?is)<(script|link|img|iframe|frame|object|embed|base|meta|style)\b([^>]*)>`)
	reference = regexp.MustCompile(`(?is)\b(?:src|href|data)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))`)
)

// loads lists what a changed document loads beyond what was published: for people
// to see what was done to it. Whether the document is the published one is decided
// by its bytes.
func loads(doc []byte, published []release.File) []string {
	var out []string
	for _, m := range element.FindAllSubmatch(doc, 64) {
		kind, attributes := strings.ToLower(string(m[1])), m[2]
		ref := reference.FindSubmatch(attributes)
		x := ""
		switch {
		case ref != nil:
			to := string(ref[1]) + string(ref[2]) + string(ref[3])
			known := slices.ContainsFunc(published, func(f release.File) bool { return to == "/"+f.Path || to == Path(f.Path) })
			if !known {
				x = "<" + kind + "> " + to
			}
		case kind == "script":
			x = "<script> without an address: code in the document itself"
		case kind == "style":
			x = "<style>: rules in the document itself"
		}
		if x != "" && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// merge joins what is the same for several encodings of one path.
func merge(list []Difference) []Difference {
	var out []Difference
	for _, d := range list {
		i := slices.IndexFunc(out, func(o Difference) bool {
			return o.Path == d.Path && o.What == d.What && o.Want == d.Want && o.Found == d.Found
		})
		if i < 0 {
			out = append(out, d)
			continue
		}
		if out[i].Asked != d.Asked {
			out[i].Asked = "" // not only there
		}
	}
	return out
}

// plainError says what went wrong without the address, which is known.
func plainError(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
