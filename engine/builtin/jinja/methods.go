// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"slices"
	"strings"
	"unicode"
)

// methods are those of strings, mappings and lists; each checks its receiver.
var methods map[string]method

func init() {
	methods = map[string]method{
		"strip": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strip(str(v, "strip"), args, named, true, true)
		},
		"lstrip": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strip(str(v, "lstrip"), args, named, true, false)
		},
		"rstrip": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strip(str(v, "rstrip"), args, named, false, true)
		},
		"upper": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strings.ToUpper(str(v, "upper"))
		},
		"lower": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strings.ToLower(str(v, "lower"))
		},
		"capitalize": func(e *evaluator, v value, args []value, named map[string]value) value {
			return capitalize(str(v, "capitalize"))
		},
		"title": func(e *evaluator, v value, args []value, named map[string]value) value {
			return title(str(v, "title"))
		},
		"startswith": func(e *evaluator, v value, args []value, named map[string]value) value {
			return affix(str(v, "startswith"), args, strings.HasPrefix)
		},
		"endswith": func(e *evaluator, v value, args []value, named map[string]value) value {
			return affix(str(v, "endswith"), args, strings.HasSuffix)
		},
		"replace": func(e *evaluator, v value, args []value, named map[string]value) value {
			return replace(e, str(v, "replace"), args, named)
		},
		"find": func(e *evaluator, v value, args []value, named map[string]value) value {
			s := str(v, "find")
			i := strings.Index(s, pickString(args, 0, named, "sub", ""))
			if i < 0 {
				return int64(-1)
			}
			return int64(len([]rune(s[:i])))
		},
		"count": func(e *evaluator, v value, args []value, named map[string]value) value {
			return int64(strings.Count(str(v, "count"), pickString(args, 0, named, "sub", "")))
		},
		"split":  split,
		"rsplit": rsplit,
		"splitlines": func(e *evaluator, v value, args []value, named map[string]value) value {
			return stringList(strings.Split(strings.TrimSuffix(str(v, "splitlines"), "\n"), "\n"))
		},
		"join": func(e *evaluator, v value, args []value, named map[string]value) value {
			if len(args) == 0 {
				fail("join needs a list")
			}
			return join(e, args[0], []value{str(v, "join")}, nil)
		},
		"items": func(e *evaluator, v value, args []value, named map[string]value) value {
			d := dict(v, "items")
			l := &list{}
			for _, k := range d.keys {
				l.items = append(l.items, &list{[]value{k, d.values[k]}})
			}
			return l
		},
		"keys": func(e *evaluator, v value, args []value, named map[string]value) value {
			return &list{iterate(dict(v, "keys"))}
		},
		"values": func(e *evaluator, v value, args []value, named map[string]value) value {
			d := dict(v, "values")
			l := &list{}
			for _, k := range d.keys {
				l.items = append(l.items, d.values[k])
			}
			return l
		},
		"get": func(e *evaluator, v value, args []value, named map[string]value) value {
			d := dict(v, "get")
			if len(args) == 0 {
				fail("get needs a key")
			}
			if k, ok := args[0].(string); ok {
				if x, ok := d.get(k); ok {
					return x
				}
			}
			otherwise, _ := pick(args, 1, named, "default")
			return otherwise
		},
		"append": func(e *evaluator, v value, args []value, named map[string]value) value {
			l, ok := v.(*list)
			if !ok || len(args) != 1 {
				fail("append needs a list and one item")
			}
			if len(l.items) >= maxItems {
				fail("a list has too many items")
			}
			l.items = append(l.items, args[0])
			return nil
		},
	}
}

func dict(v value, what string) *Dict {
	switch v := v.(type) {
	case *Dict:
		return v
	case undefined:
		return NewDict()
	}
	fail("%s needs a mapping, not %s", what, kindOf(v))
	return nil
}

func stringList(parts []string) *list {
	if len(parts) > maxItems {
		fail("a list has too many items")
	}
	l := &list{}
	for _, p := range parts {
		l.items = append(l.items, p)
	}
	return l
}

// affix is startswith and endswith, with one string or a list of them.
func affix(s string, args []value, has func(s, part string) bool) value {
	if len(args) == 0 {
		fail("a string is missing")
	}
	if l, ok := args[0].(*list); ok {
		return slices.ContainsFunc(l.items, func(p value) bool { return has(s, text(p)) })
	}
	return has(s, str(args[0], "the comparison"))
}

func split(e *evaluator, v value, args []value, named map[string]value) value {
	s := str(v, "split")
	sep := pickString(args, 0, named, "sep", "")
	if sep == "" {
		return stringList(strings.Fields(s))
	}
	n := int64(-1)
	if m, ok := pick(args, 1, named, "maxsplit"); ok {
		n, _ = m.(int64)
	}
	if n < 0 || n > maxItems {
		n = maxItems
	}
	return stringList(strings.SplitN(s, sep, int(n)+1))
}

func rsplit(e *evaluator, v value, args []value, named map[string]value) value {
	s := str(v, "rsplit")
	sep := pickString(args, 0, named, "sep", "")
	limit, limited := pick(args, 1, named, "maxsplit")
	n, _ := limit.(int64)
	if sep == "" || !limited || n < 0 {
		return split(e, v, args[:min(len(args), 1)], named)
	}
	var parts []string
	for ; n > 0; n-- {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append(parts, s[i+len(sep):])
		s = s[:i]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return stringList(parts)
}

func capitalize(s string) string {
	for i, r := range s {
		return string(unicode.ToUpper(r)) + strings.ToLower(s[i+len(string(r)):])
	}
	return s
}

func title(s string) string {
	var b strings.Builder
	start := true
	for _, r := range s {
		if start {
			b.WriteRune(unicode.ToUpper(r))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		start = !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
	}
	return b.String()
}

// strip is Python's: without characters it takes white space.
func strip(s string, args []value, named map[string]value, left, right bool) string {
	is := unicode.IsSpace
	if chars := pickString(args, 0, named, "chars", ""); chars != "" {
		is = func(r rune) bool { return strings.ContainsRune(chars, r) }
	}
	if left {
		s = strings.TrimLeftFunc(s, is)
	}
	if right {
		s = strings.TrimRightFunc(s, is)
	}
	return s
}

func replace(e *evaluator, s string, args []value, named map[string]value) value {
	from, to := pickString(args, 0, named, "old", ""), pickString(args, 1, named, "new", "")
	n := -1
	if c, ok := pick(args, 2, named, "count"); ok {
		if k, ok := c.(int64); ok && k >= 0 {
			n = int(min(k, maxOutput))
		}
	}
	times := strings.Count(s, from)
	if n >= 0 {
		times = min(times, n)
	}
	if len(s)+times*len(to) > maxOutput {
		fail("a string is too long")
	}
	return strings.Replace(s, from, to, n)
}
