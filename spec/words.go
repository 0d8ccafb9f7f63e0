package spec

import (
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

func span(low, high int) string { return itoa(low) + " to " + itoa(high) }

// cut shortens s to n characters.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// quote shows s in a message.
func quote(s string) string { return `"` + strings.ReplaceAll(cut(s, 60), "\n", `\n`) + `"` }

// single writes s as a YAML text in single quotes.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// nearest returns the word that s is most likely a misspelling of, "" when none is near.
func nearest(s string, words []string) string {
	if len(s) > 40 {
		return ""
	}
	fold := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	}
	words = words[:min(len(words), 300)] // enough for any file that is accepted
	best, bestDistance := "", 1+max(1, len(s)/4)
	for _, w := range words {
		if d := distance(fold(s), fold(w)); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap with their neighbour to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
