package store

import (
	"strconv"
	"strings"
)

// rows are rows of one shape that a statement takes as one JSON parameter: its text stays the same however many there are,
// so that it is parsed once, and thousands of values cost no thousands of parameters.
type rows struct{ all [][]any }

func (r *rows) add(row ...any) { r.all = append(r.all, row) }

// execRows runs a statement whose first parameter are rows.
func (t *Tx) execRows(query string, r rows, args ...any) (int64, error) {
	all, err := toJSON(r.all)
	if err != nil {
		return 0, err
	}
	return t.exec(query, append([]any{all}, args...)...)
}

// Kinds of a column of rows, as both databases call them.
const (
	text    = "TEXT"
	number  = "BIGINT"
	boolean = "BOOLEAN"
)

// rowsFrom is a table expression for the rows in $1; its columns are column1, column2 and so on.
func (t *Tx) rowsFrom(kinds ...string) string {
	var b strings.Builder
	b.WriteString("(SELECT ")
	for i, kind := range kinds {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("CAST(e.value ->> " + strconv.Itoa(i) + " AS " + kind + ") AS column" + strconv.Itoa(i+1))
	}
	if t.dialect == postgresDialect {
		b.WriteString(" FROM jsonb_array_elements(CAST($1 AS jsonb)) AS e(value))")
	} else {
		b.WriteString(" FROM json_each($1) AS e)")
	}
	return b.String()
}
