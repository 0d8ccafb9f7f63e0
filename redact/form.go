package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// forms returns the ways in which a value is looked for, each without line ends, which do not matter in a stream. all adds
// those of values that were encoded twice.
func forms(value string, all bool) [][]byte {
	value = strings.TrimSpace(value)
	if len(value) < MinLength {
		return nil
	}
	seen := map[string]bool{}
	var out [][]byte
	add := func(texts ...string) {
		for _, t := range texts {
			for _, p := range []string{unwrapped(t), unwrapped(stripped(t))} {
				if len(p) >= MinLength && !seen[p] {
					seen[p] = true
					out = append(out, []byte(p))
				}
			}
		}
	}
	add(value)
	add(hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))))
	add(percent(value)...)
	add(jsonTexts(value)...)
	for _, b := range base64Texts(value) {
		add(b)
		if all {
			add(base64Texts(b)...)
		}
	}
	return out
}

// unwrapped is a text without line ends.
func unwrapped(s string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(s) }

// stripped is a text without terminal sequences.
func stripped(s string) string {
	if strings.IndexByte(s, escape) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == escape {
			i += sequence([]byte(s[i:])) - 1
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// percent returns a text as URLs hold it; programs differ in what they escape, and in the case of the digits.
func percent(s string) []string {
	list := []string{url.QueryEscape(s), url.PathEscape(s), strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), escapeBut(s, "-_.!~*'()"), escapeBut(s, "-_.~/")}
	for _, t := range list {
		list = append(list, lowerDigits(t))
	}
	return list
}

// escapeBut escapes all but letters, digits and some others.
func escapeBut(s, others string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// lowerDigits writes the digits of percent escapes in lower case.
func lowerDigits(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// jsonTexts returns a text as JSON strings hold it: with the escapes that must be, those for HTML, all of Unicode escaped,
// and slashes escaped.
func jsonTexts(s string) []string {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	html, err := json.Marshal(s)
	if e.Encode(s) != nil || err != nil {
		return nil // a text always has a JSON form
	}
	inside := func(b []byte) string {
		return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(string(b), "\n"), `"`), `"`)
	}
	p := inside(plain.Bytes())
	list := []string{p, inside(html), ascii(p), strings.ReplaceAll(p, "/", `\/`), strings.ReplaceAll(ascii(p), "/", `\/`)}
	if !utf8.ValidString(s) {
		list = append(list, strings.ToValidUTF8(s, "\ufffd"), string([]rune(s)))
	}
	return list
}

// ascii escapes everything beyond ASCII in a JSON text.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// base64Texts returns what a value is in base64, in both alphabets, at each offset that it may have in what was encoded,
// without the digits that depend on what stands around it; and with its last digit, where nothing follows it.
func base64Texts(s string) []string {
	var list []string
	for offset, lost := range []int{0, 2, 3} {
		padded := string(make([]byte, offset)) + s
		whole := base64.RawStdEncoding.EncodeToString([]byte(padded))
		for _, t := range []string{whole[lost : len(padded)*8/6], whole[lost:]} {
			list = append(list, t, strings.NewReplacer("+", "-", "/", "_").Replace(t))
		}
	}
	return list
}
