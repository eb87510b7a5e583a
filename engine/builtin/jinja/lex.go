// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import "strings"

// A token is a piece of a template: text between tags, or a word, number,
// string or operator inside one.
type token struct {
	kind tokenKind
	text string // the text, word, number, unescaped string or operator
}

type tokenKind byte

const (
	tText  tokenKind = iota
	tBegin           // {%
	tEnd             // %}
	tPrint           // {{
	tDone            // }}
	tName
	tInt
	tFloat
	tString
	tOp
	tEOF
)

// lex cuts a template into tokens and applies the white-space rules: "-" next
// to a tag eats all white space on that side; without it, a block or comment
// alone on its line takes its line with it (lstrip_blocks, trim_blocks); "+"
// switches that off; one newline at the very end is dropped.
func lex(s string) []token {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.TrimSuffix(s, "\n")
	var out []token
	text := func(t string) {
		if t != "" {
			out = append(out, token{tText, t})
		}
	}
	lineStart := true // what comes next stands at the beginning of a line
	for s != "" {
		i := tagStart(s)
		if i < 0 {
			text(s)
			break
		}
		before, kind := s[:i], s[i+1]
		s = s[i+2:]
		switch {
		case strings.HasPrefix(s, "-"):
			before, s = strings.TrimRight(before, whiteSpace), s[1:]
		case strings.HasPrefix(s, "+"):
			s = s[1:]
		case kind != '{':
			if line := strings.TrimRight(before, " \t"); line == "" && lineStart || strings.HasSuffix(line, "\n") {
				before = line
			}
		}
		text(before)
		trim := byte(0)
		switch kind {
		case '#':
			end := strings.Index(s, "#}")
			if end < 0 {
				fail("a comment isn't closed")
			}
			if end > 0 {
				trim = s[end-1]
			}
			s = s[end+2:]
		case '%':
			out = append(out, token{tBegin, "{%"})
			out, s, trim = lexTag(out, s, "%}")
			out = append(out, token{tEnd, "%}"})
		case '{':
			out = append(out, token{tPrint, "{{"})
			out, s, trim = lexTag(out, s, "}}")
			out = append(out, token{tDone, "}}"})
		}
		rest := s
		switch {
		case trim == '-':
			s = strings.TrimLeft(s, whiteSpace)
		case trim != '+' && kind != '{':
			s = strings.TrimPrefix(s, "\n")
		}
		lineStart = strings.HasSuffix(rest[:len(rest)-len(s)], "\n")
	}
	return append(out, token{kind: tEOF})
}

const whiteSpace = " \t\n\r\v\f"

func tagStart(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

var operators = []string{"==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "|"}

// lexTag reads the inside of a tag. It returns what follows and the "-" or "+"
// that stood before the closing.
func lexTag(out []token, s, closing string) ([]token, string, byte) {
	depth := 0 // of brackets: "}}" may close two dicts
	for {
		s = strings.TrimLeft(s, whiteSpace)
		switch {
		case s == "":
			fail("a tag isn't closed")
		case depth == 0 && strings.HasPrefix(s, closing):
			return out, s[2:], 0
		case depth == 0 && (s[0] == '-' || s[0] == '+') && strings.HasPrefix(s[1:], closing):
			return out, s[3:], s[0]
		case s[0] == '"' || s[0] == '\'':
			var str string
			str, s = lexString(s)
			out = append(out, token{tString, str})
			continue
		case isDigit(s[0]):
			n, kind := 0, tInt
			for n < len(s) && (isDigit(s[n]) || s[n] == '_') {
				n++
			}
			if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
				kind = tFloat
				for n++; n < len(s) && isDigit(s[n]); n++ {
				}
			}
			out = append(out, token{kind, strings.ReplaceAll(s[:n], "_", "")})
			s = s[n:]
			continue
		case isLetter(s[0]):
			n := 0
			for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
				n++
			}
			out = append(out, token{tName, s[:n]})
			s = s[n:]
			continue
		}
		found := false
		for _, op := range operators {
			if strings.HasPrefix(s, op) {
				switch op {
				case "(", "[", "{":
					depth++
				case ")", "]", "}":
					depth--
				}
				out = append(out, token{tOp, op})
				s = s[len(op):]
				found = true
				break
			}
		}
		if !found {
			fail("the character %q has no place in a tag", s[:1])
		}
	}
}

func lexString(s string) (str, rest string) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case quote:
			return b.String(), s[i+1:]
		case '\\':
			if i++; i == len(s) {
				fail("a string isn't closed")
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case '\\', '\'', '"':
				b.WriteByte(s[i])
			case '\n':
			default:
				b.WriteByte('\\')
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	fail("a string isn't closed")
	return "", ""
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
