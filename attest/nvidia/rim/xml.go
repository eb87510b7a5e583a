// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package rim

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

// Limits of a document.
const (
	MaxSize       = 1 << 20
	maxDepth      = 16
	maxElements   = 4096
	maxAttributes = 256
)

// node is an element, or text where name is "".
type node struct {
	prefix, name string
	space        string // namespace that the prefix stands for here
	attrs        []attr // without declarations of namespaces
	decls        []decl // what it declares
	parent       *node
	children     []*node
	text         string
}

type attr struct{ prefix, name, space, value string }

// decl declares a namespace: prefix "" is the default one.
type decl struct{ prefix, space string }

// Names of XML that aren't declared in a document.
const xmlnsPrefix, xmlPrefix = "xmlns", "xml"

// parse reads the one tree that is then hashed and understood, so that the two
// can't differ. Documents hold elements, attributes and text; what has no
// meaning for a RIM and makes canonical form hard is refused: document types,
// processing instructions, attributes of xml: and line breaks in attributes.
// Comments are dropped, as they aren't signed.
func parse(doc []byte) (*node, error) {
	if len(doc) > MaxSize {
		return nil, errors.New("the document is too long")
	}
	dec := xml.NewDecoder(bytes.NewReader(doc))
	dec.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not UTF-8") }
	var root, at *node
	elements, depth := 0, 0
	for start := true; ; start = false {
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New("the document is not well-formed XML")
		}
		switch tok := tok.(type) {
		case xml.ProcInst:
			if tok.Target != xmlPrefix || !start {
				return nil, errors.New("the document holds a processing instruction")
			}
		case xml.Directive:
			return nil, errors.New("the document has a document type")
		case xml.CharData:
			switch {
			case at != nil:
				at.children = append(at.children, &node{text: string(tok), parent: at})
			case strings.TrimSpace(string(tok)) != "":
				return nil, errors.New("there is text outside of the document's element")
			}
		case xml.StartElement:
			if elements++; elements > maxElements || depth == maxDepth || len(tok.Attr) > maxAttributes {
				return nil, errors.New("the document is larger than a RIM")
			}
			depth++
			n, err := element(tok, at)
			if err != nil {
				return nil, err
			}
			switch {
			case at != nil:
				at.children = append(at.children, n)
			case root != nil:
				return nil, errors.New("there are two documents")
			default:
				root = n
			}
			at = n
		case xml.EndElement:
			if at == nil || tok.Name.Space != at.prefix || tok.Name.Local != at.name {
				return nil, errors.New("the document is not well-formed XML")
			}
			depth--
			at = at.parent
		}
	}
	if root == nil || at != nil {
		return nil, errors.New("the document is not well-formed XML")
	}
	return root, nil
}

func element(tok xml.StartElement, parent *node) (*node, error) {
	n := &node{prefix: tok.Name.Space, name: tok.Name.Local, parent: parent}
	if !isName(n.name) || n.prefix == xmlnsPrefix {
		return nil, errors.New("an element has a strange name")
	}
	for _, a := range tok.Attr {
		switch {
		case strings.ContainsAny(a.Value, "\t\r\n"):
			return nil, errors.New("an attribute holds a line break")
		case !isName(a.Name.Local) || a.Name.Space == xmlPrefix:
			return nil, errors.New("an attribute has a strange name")
		case a.Name.Space == xmlnsPrefix:
			if a.Value == "" || a.Name.Local == xmlPrefix || a.Name.Local == xmlnsPrefix {
				return nil, errors.New("a namespace is declared in a strange way")
			}
			n.decls = append(n.decls, decl{a.Name.Local, a.Value})
		case a.Name.Space == "" && a.Name.Local == xmlnsPrefix:
			n.decls = append(n.decls, decl{"", a.Value})
		default:
			n.attrs = append(n.attrs, attr{prefix: a.Name.Space, name: a.Name.Local, value: a.Value})
		}
	}
	for i, d := range n.decls {
		if slices.ContainsFunc(n.decls[:i], func(o decl) bool { return o.prefix == d.prefix }) {
			return nil, errors.New("a namespace is declared twice")
		}
	}
	var ok bool
	if n.space, ok = n.lookup(n.prefix); !ok {
		return nil, errors.New("a namespace is not declared")
	}
	for i := range n.attrs {
		a := &n.attrs[i]
		if a.prefix != "" { // an attribute without a prefix is in no namespace
			if a.space, ok = n.lookup(a.prefix); !ok {
				return nil, errors.New("a namespace is not declared")
			}
		}
		if slices.ContainsFunc(n.attrs[:i], func(o attr) bool { return o.space == a.space && o.name == a.name }) {
			return nil, errors.New("an attribute is there twice")
		}
	}
	return n, nil
}

// isName keeps to the letters that RIMs use: canonical form then needs no rules
// for others.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// lookup returns the namespace that a prefix stands for at an element.
func (n *node) lookup(prefix string) (space string, ok bool) {
	for e := n; e != nil; e = e.parent {
		for _, d := range e.decls {
			if d.prefix == prefix {
				return d.space, true
			}
		}
	}
	return "", prefix == ""
}

// canonical returns the element and what is in it, but for one element that is
// left out, in canonical form: Canonical XML 1.0 and 1.1 without comments, which
// are the same where there are no attributes of xml:. For an element that isn't
// the document's own, declarations of those around it are written, too.
func canonical(n, without *node) []byte {
	var b bytes.Buffer
	write(&b, n, without, map[string]string{"": ""})
	return b.Bytes()
}

func write(b *bytes.Buffer, n, without *node, written map[string]string) {
	switch {
	case n == without:
		return
	case n.name == "":
		b.WriteString(textEscaper.Replace(n.text))
		return
	}
	decls := slices.Clone(n.decls)
	for e := n.parent; e != nil; e = e.parent { // those that are written already are passed over below
		for _, d := range e.decls {
			if !slices.ContainsFunc(decls, func(o decl) bool { return o.prefix == d.prefix }) {
				decls = append(decls, d)
			}
		}
	}
	slices.SortFunc(decls, func(x, y decl) int { return strings.Compare(x.prefix, y.prefix) })
	inside := map[string]string{}
	for p, s := range written {
		inside[p] = s
	}
	b.WriteByte('<')
	writeName(b, n.prefix, n.name)
	for _, d := range decls {
		if written[d.prefix] == d.space { // only the default one can be declared as none
			continue
		}
		inside[d.prefix] = d.space
		b.WriteString(" xmlns")
		if d.prefix != "" {
			b.WriteString(":" + d.prefix)
		}
		b.WriteString(`="` + attrEscaper.Replace(d.space) + `"`)
	}
	attrs := slices.Clone(n.attrs)
	slices.SortFunc(attrs, func(x, y attr) int {
		if c := strings.Compare(x.space, y.space); c != 0 {
			return c
		}
		return strings.Compare(x.name, y.name)
	})
	for _, a := range attrs {
		b.WriteByte(' ')
		writeName(b, a.prefix, a.name)
		b.WriteString(`="` + attrEscaper.Replace(a.value) + `"`)
	}
	b.WriteByte('>')
	for _, c := range n.children {
		write(b, c, without, inside)
	}
	b.WriteString("</")
	writeName(b, n.prefix, n.name)
	b.WriteByte('>')
}

func writeName(b *bytes.Buffer, prefix, name string) {
	if prefix != "" {
		b.WriteString(prefix + ":")
	}
	b.WriteString(name)
}

// Canonical XML 1.1, section 2.3. The parser has made one line feed of each line
// end, so that a carriage return here was written as a reference.
var (
	textEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
	attrEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;")
)

// child returns the one child of a name, or nil if there is none or several.
func (n *node) child(space, name string) *node {
	var found *node
	for _, c := range n.children {
		if c.name == name && c.space == space {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// elements returns the children that aren't text, and whether all text between
// them is white space.
func (n *node) elements() (list []*node, ok bool) {
	ok = true
	for _, c := range n.children {
		if c.name != "" {
			list = append(list, c)
		} else if strings.TrimSpace(c.text) != "" {
			ok = false
		}
	}
	return list, ok
}

// content returns the text of an element that holds nothing else.
func (n *node) content() (string, bool) {
	var s strings.Builder
	for _, c := range n.children {
		if c.name != "" {
			return "", false
		}
		s.WriteString(c.text)
	}
	return s.String(), true
}

// attribute returns the value of an attribute in no namespace, or "".
func (n *node) attribute(name string) string {
	for _, a := range n.attrs {
		if a.space == "" && a.name == name {
			return a.value
		}
	}
	return ""
}
