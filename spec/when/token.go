package when

import (
	"strings"
	"unicode/utf8"
)

type kind int

const (
	kindEnd kind = iota
	kindOperator
	kindBool // and, or
	kindPunct
	kindKeyword
	kindBoolean
	kindString
	kindInteger
	kindFloat
	kindIdentifier
	kindMapKey
)

type token struct {
	kind   kind
	text   string // as written; without quotes for strings, without the colon for map keys
	offset int    // in bytes
}

// words are the identifiers with a meaning of their own. Only all-lower and all-upper spellings count.
var words = map[string]kind{
	"and": kindBool, "or": kindBool, "true": kindBoolean, "false": kindBoolean,
	"branch": kindKeyword, "tag": kindKeyword, "pull_request": kindKeyword, "result": kindKeyword, "result_reason": kindKeyword,
}

func wordKind(s string) kind {
	l := strings.ToLower(s)
	if s == l || s == strings.ToUpper(s) {
		if k, ok := words[l]; ok {
			return k
		}
	}
	return kindIdentifier
}

// lex splits text into tokens, the last of which is kindEnd.
func lex(text string) ([]token, *SyntaxError) {
	var out []token
	for i := 0; i < len(text); {
		if strings.IndexByte(" \t\r\n", text[i]) >= 0 {
			i++
			continue
		}
		t, n := next(text[i:])
		if n == 0 {
			return nil, lexical(text, i)
		}
		t.offset = i
		out = append(out, t)
		i += n
	}
	return append(out, token{kind: kindEnd, offset: len(text)}), nil
}

// next reads the longest token at the start of s and tells how many bytes it takes, 0 when there is none.
func next(s string) (token, int) {
	switch c := s[0]; {
	case strings.IndexByte("()[]{},", c) >= 0:
		return token{kind: kindPunct, text: s[:1]}, 1
	case c == '=' || c == '!':
		if len(s) > 1 && (s[1] == '~' || c == '!' && s[1] == '=') {
			return token{kind: kindOperator, text: s[:2]}, 2
		}
		if c == '!' {
			return token{}, 0
		}
		return token{kind: kindOperator, text: s[:1]}, 1
	case c == '\'':
		end := strings.IndexByte(s[1:], '\'')
		if end < 1 {
			return token{}, 0
		}
		return token{kind: kindString, text: s[1 : 1+end]}, end + 2
	case c == '-' || digit(c):
		return number(s)
	case letter(c):
		n := 1
		for n < len(s) && (letter(s[n]) || digit(s[n]) || s[n] == '_' || s[n] == '-') {
			n++
		}
		if n < len(s) && s[n] == ':' {
			return token{kind: kindMapKey, text: s[:n]}, n + 1
		}
		return token{kind: wordKind(s[:n]), text: s[:n]}, n
	}
	return token{}, 0
}

func number(s string) (token, int) {
	n := 0
	if s[0] == '-' {
		n = 1
	}
	start := n
	for n < len(s) && digit(s[n]) {
		if s[start] == '0' && n > start {
			break // 0 stands alone: "07" is 0 and then 7
		}
		n++
	}
	if n == start || start == 1 && s[1] == '0' && !(len(s) > 3 && s[2] == '.' && digit(s[3])) {
		return token{}, 0
	}
	if n+1 < len(s) && s[n] == '.' && digit(s[n+1]) {
		n += 2
		for n < len(s) && digit(s[n]) {
			n++
		}
		return token{kind: kindFloat, text: s[:n]}, n
	}
	return token{kind: kindInteger, text: s[:n]}, n
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// lexical describes the characters at text[i:] that begin no token: everything that could still have become one, and
// the character that spoilt it.
func lexical(text string, i int) *SyntaxError {
	_, size := utf8.DecodeRuneInString(text[i:])
	bad, hint := text[i:i+size], ""
	rest := text[i+size:]
	_, after := utf8.DecodeRuneInString(rest)
	switch bad {
	case "!", "-":
		bad += rest[:after]
	case "'":
		if strings.HasPrefix(rest, "'") {
			bad = "''"
		} else {
			bad += rest
		}
	}
	switch {
	case bad == "''":
		hint = "a text needs at least one character; to ask for an empty value use \"!~ '.*'\""
	case bad[0] == '\'':
		hint = "the closing single quote is missing"
	case bad == `"`:
		hint = "put texts in single quotes: 'main'"
	case bad == "&":
		hint = `write "and"`
	case bad == "|":
		hint = `write "or"`
	case bad[0] == '!':
		hint = `the operators are "=", "!=", "=~" and "!~", written without a blank inside; there is no "not"`
	case bad == "#":
		hint = "comments are not possible inside a condition"
	}
	return &SyntaxError{
		Offset:  i,
		Code:    "Lexical error on line " + lineOf(text, i) + " - Illegal characters: '" + bad + "'.",
		Message: "a condition cannot contain " + short(bad) + " here",
		Hint:    hint,
	}
}
