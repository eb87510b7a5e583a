// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// fold writes text as it is compared in a search: lower case, without accents.
// It covers the Latin letters of Europe and Vietnam, Greek and Cyrillic, and
// combining marks after any letter; everything else is left as it is. A table of
// our own keeps Unicode's big ones out of the browser.
func fold(text string) string {
	if isPlain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		if f, s := foldRune(r); s != "" {
			b.WriteString(s)
		} else if f >= 0 {
			b.WriteRune(f)
		}
	}
	return b.String()
}

// foldOffsets is fold that also returns, for each byte of the folded text and
// for its end, the offset in text of the character it came from.
func foldOffsets(text string) (string, []int) {
	folded := make([]byte, 0, len(text))
	offsets := make([]int, 0, len(text)+1)
	for i, r := range text {
		f, s := foldRune(r)
		switch {
		case s != "":
			folded = append(folded, s...)
		case f >= 0:
			folded = utf8.AppendRune(folded, f)
		default:
			continue // a combining mark belongs to the letter before it
		}
		for len(offsets) < len(folded) {
			offsets = append(offsets, i)
		}
	}
	return string(folded), append(offsets, len(text))
}

// isPlain tells whether text is ASCII without capitals, which folds to itself.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// foldRune returns what a character is compared as: a character, or several as a
// string, or -1 for nothing.
func foldRune(r rune) (rune, string) {
	if r < utf8.RuneSelf {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r, ""
	}
	r = unicode.ToLower(r)
	switch r {
	case 'ß':
		return 0, "ss"
	case 'æ':
		return 0, "ae"
	case 'œ':
		return 0, "oe"
	case 'ĳ':
		return 0, "ij"
	case 'þ':
		return 0, "th"
	case 'ς':
		return 'σ', ""
	}
	if base, ok := accents[r]; ok {
		return base, ""
	}
	if r >= 0x300 && r < 0x370 || unicode.Is(unicode.Mn, r) && r < 0x500 || r == 0xAD {
		return -1, "" // combining marks and the soft hyphen
	}
	return r, ""
}

// accents maps each lower-case letter with an accent to its letter.
var accents = func() map[rune]rune {
	m := map[rune]rune{}
	for base, letters := range map[rune]string{
		'a': "àáâãäåāăąǎǟǡǻȁȃȧạảấầẩẫậắằẳẵặḁ",
		'b': "ḃḅḇ",
		'c': "çćĉċčḉ",
		'd': "ďđḋḍḏḑḓð",
		'e': "èéêëēĕėęěȅȇȩẹẻẽếềểễệḕḗḙḛḝ",
		'f': "ḟ",
		'g': "ĝğġģǧǵḡ",
		'h': "ĥħȟḣḥḧḩḫẖ",
		'i': "ìíîïĩīĭįıǐȉȋịỉḭḯ",
		'j': "ĵǰ",
		'k': "ķǩḱḳḵ",
		'l': "ĺļľŀłḷḹḻḽ",
		'm': "ḿṁṃ",
		'n': "ñńņňǹṅṇṉṋ",
		'o': "òóôõöøōŏőơǒǫǭǿȍȏȫȭȯȱọỏốồổỗộớờởỡợṍṏṑṓ",
		'p': "ṕṗ",
		'r': "ŕŗřȑȓṙṛṝṟ",
		's': "śŝşšșṡṣṥṧṩ",
		't': "ţťŧțṫṭṯṱẗ",
		'u': "ùúûüũūŭůűųưǔǖǘǚǜȕȗụủứừửữựṳṵṷṹṻ",
		'v': "ṽṿ",
		'w': "ŵẁẃẅẇẉẘ",
		'x': "ẋẍ",
		'y': "ýÿŷȳẏẙỳỵỷỹ",
		'z': "źżžẑẓẕ",
		'α': "άἀἁἂἃἄἅὰά",
		'ε': "έἐἑἔἕὲέ",
		'η': "ήἠἡἤἥὴήῆ",
		'ι': "ίϊΐἰἱἴἵὶίῖ",
		'ο': "όὀὁὄὅὸό",
		'υ': "ύϋΰὐὑὔὕὺύῦ",
		'ω': "ώὠὡὤὥὼώῶ",
		'е': "ёѐ",
		'и': "йѝ",
		'і': "ї",
		'г': "ѓґ",
		'к': "ќ",
		'у': "ў",
	} {
		for _, r := range letters {
			m[r] = base
		}
	}
	return m
}()
