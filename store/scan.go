package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// at scans milliseconds into a time; 0 is the zero time.
type at struct{ t *time.Time }

func (a at) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("time column holds %T", v)
	}
	*a.t = time.Time{}
	if n != 0 {
		*a.t = time.UnixMilli(n).UTC()
	}
	return nil
}

// span scans a number of units into a duration.
type span struct {
	d    *time.Duration
	unit time.Duration
}

func (s span) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("duration column holds %T", v)
	}
	*s.d = time.Duration(n) * s.unit
	return nil
}

// doc scans JSON text; "" leaves the target as it is.
type doc struct{ to any }

func (d doc) Scan(v any) error {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("document column holds %T", v)
	}
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), d.to)
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

type scanner interface{ Scan(dest ...any) error }

func (t *Tx) exec(query string, args ...any) (int64, error) {
	r, err := t.q.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// one runs a query for a single row; no row is CodeNotFound naming the noun and what was looked for.
func one[T any](t *Tx, noun, key string, scan func(scanner, *T) error, query string, args ...any) (*T, error) {
	var v T
	err := scan(t.q.QueryRowContext(t.ctx, query, args...), &v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no %s %s", noun, key)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", noun, err)
	}
	return &v, nil
}

func many[T any](t *Tx, noun string, scan func(scanner, *T) error, query string, args ...any) ([]*T, error) {
	rows, err := t.q.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list %ss: %w", noun, err)
	}
	defer rows.Close()
	var out []*T
	for rows.Next() {
		v := new(T)
		if err := scan(rows, v); err != nil {
			return nil, fmt.Errorf("list %ss: %w", noun, err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list %ss: %w", noun, err)
	}
	return out, nil
}

// list returns "$from, $from+1, ..." for n values.
func list(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(from+i))
	}
	return b.String()
}

// oneOf returns placeholders from $1 on, and their arguments, for IN.
func oneOf(vs []string) (string, []any) { return oneOfFrom(1, vs) }

// oneOfFrom returns placeholders from $first on, and their arguments, for IN; vs may not be empty. Its last value is repeated until a power
// of two of them are there: few texts of statements, which databases prepare once.
func oneOfFrom(first int, vs []string) (string, []any) {
	n := 1
	for n < len(vs) {
		n *= 2
	}
	args := anys(nil, vs)
	for len(args) < n {
		args = append(args, vs[len(vs)-1])
	}
	return list(first, n), args
}

func anys[T any](head []any, vs []T) []any {
	for _, v := range vs {
		head = append(head, v)
	}
	return head
}

// forUpdate locks the rows a query finds. SQLite has one writer at a time and needs no word for it.
func (t *Tx) forUpdate() string {
	if t.dialect == postgresDialect {
		return " FOR UPDATE"
	}
	return ""
}

// forShare keeps the rows a query finds from being changed, but not from being held by others too.
func (t *Tx) forShare() string {
	if t.dialect == postgresDialect {
		return " FOR SHARE"
	}
	return ""
}

// skipLocked locks rows and passes over those that another transaction holds.
func (t *Tx) skipLocked() string {
	if t.dialect == postgresDialect {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// filter builds a condition out of the parts that are asked for, so that each has the plan that suits it.
type filter struct {
	where []string
	args  []any
}

// add adds a part; each question mark in it is one of the values.
func (f *filter) add(part string, values ...any) {
	for _, v := range values {
		f.args = append(f.args, v)
		part = strings.Replace(part, "?", list(len(f.args), 1), 1)
	}
	f.where = append(f.where, part)
}

// equal adds a column's value unless it is empty.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.add(column+" = ?", value)
	}
}

// text is the condition with its word, or nothing.
func (f *filter) text() string {
	if len(f.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.where, " AND ")
}

// page returns the end of a list's statement and all its arguments.
func (f *filter) page(limit, offset int) (string, []any) {
	if limit <= 0 {
		limit = 30
	}
	n := len(f.args)
	return " LIMIT " + list(n+1, 1) + " OFFSET " + list(n+2, 1), append(f.args, limit, offset)
}

// flag is a condition as a number that is scanned into a bool.
func flag(cond string) string { return `CASE WHEN ` + cond + ` THEN 1 ELSE 0 END` }
