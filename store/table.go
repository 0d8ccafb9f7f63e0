package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// Table is a table as the database itself describes it.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`

	references []reference
}

// Column is a column of a table.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
}

// Kind is what a column holds, the same word on both databases.
type Kind string

const (
	Text  Kind = "text"
	Int   Kind = "int"
	Bool  Kind = "bool"
	Bytes Kind = "bytes"
)

type reference struct{ column, table, to string }

// IsLog tells whether the table belongs to the log database.
func (t Table) IsLog() bool { return t.Name == "log" || strings.HasPrefix(t.Name, "log_") }

var kinds = map[string]Kind{
	"text": Text, "bigint": Int, "integer": Int, "boolean": Bool, "blob": Bytes, "bytea": Bytes,
}

const (
	sqliteColumns = `SELECT m.name, c.name, lower(c.type) FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND m.name NOT LIKE 'goose!_%' ESCAPE '!' ORDER BY m.name, c.cid`
	sqliteReferences = `SELECT m.name, f."from", f."table", f."to" FROM sqlite_master m, pragma_foreign_key_list(m.name) f
		WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq`
	postgresColumns = `SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
		JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'
		WHERE c.table_schema = current_schema() AND c.table_name NOT LIKE 'goose!_%' ESCAPE '!' ORDER BY c.table_name, c.ordinal_position`
	postgresReferences = `SELECT r.relname, a.attname, p.relname, b.attname FROM pg_constraint f
		JOIN pg_class r ON r.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid
		JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
		JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = f.confkey[1]
		WHERE f.contype = 'f' AND r.relnamespace = current_schema()::regnamespace ORDER BY r.relname, a.attname`
)

// tables reads the catalog of one database.
func (t *Tx) tables() ([]Table, error) {
	columns, references := sqliteColumns, sqliteReferences
	if t.dialect == postgresDialect {
		columns, references = postgresColumns, postgresReferences
	}
	type row struct{ table, a, b, c string }
	list, err := many(t, "column", func(s scanner, r *row) error { return s.Scan(&r.table, &r.a, &r.b) }, columns)
	if err != nil {
		return nil, err
	}
	var out []Table
	for _, r := range list {
		if len(out) == 0 || out[len(out)-1].Name != r.table {
			out = append(out, Table{Name: r.table})
		}
		kind, ok := kinds[r.b]
		if !ok {
			return nil, fmt.Errorf("column %s of table %s is of type %q, which this program does not know: use the program that the server runs", r.a, r.table, r.b)
		}
		last := &out[len(out)-1]
		last.Columns = append(last.Columns, Column{r.a, kind})
	}
	list, err = many(t, "reference", func(s scanner, r *row) error { return s.Scan(&r.table, &r.a, &r.b, &r.c) }, references)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if i := slices.IndexFunc(out, func(x Table) bool { return x.Name == r.table }); i >= 0 {
			out[i].references = append(out[i].references, reference{r.a, r.b, r.c})
		}
	}
	return inOrder(out), nil
}

// inOrder puts tables behind those that they refer to.
func inOrder(tables []Table) []Table {
	out := make([]Table, 0, len(tables))
	var visit func(Table)
	visit = func(t Table) {
		if slices.ContainsFunc(out, func(x Table) bool { return x.Name == t.Name }) {
			return
		}
		for _, r := range t.references {
			if i := slices.IndexFunc(tables, func(x Table) bool { return x.Name == r.table && r.table != t.Name }); i >= 0 {
				visit(tables[i])
			}
		}
		out = append(out, t)
	}
	for _, t := range tables {
		visit(t)
	}
	return out
}

// names returns the columns as a list for a statement.
func (t Table) names() string {
	var b strings.Builder
	for i, c := range t.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(c.Name))
	}
	return b.String()
}

// quoted writes a name of the catalog into a statement.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (t *Tx) rowsOf(table Table, fn func(row []any) error) error {
	rows, err := t.q.QueryContext(t.ctx, `SELECT `+table.names()+` FROM `+quoted(table.Name))
	if err != nil {
		return fmt.Errorf("read table %s: %w", table.Name, classify(err))
	}
	defer rows.Close()
	row, into := make([]any, len(table.Columns)), make([]any, len(table.Columns))
	for i := range into {
		into[i] = &row[i]
	}
	for rows.Next() {
		clear(row)
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read table %s: %w", table.Name, err)
		}
		for i, c := range table.Columns {
			if row[i], err = c.Kind.value(row[i]); err != nil {
				return fmt.Errorf("table %s, column %s: %w", table.Name, c.Name, err)
			}
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read table %s: %w", table.Name, classify(err))
	}
	return nil
}

// value gives what a driver returned the one type of its kind. No column of ours may be NULL, but the empty bytes are nil to
// a driver and the empty text to SQLite.
func (k Kind) value(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		if k == Bytes {
			return []byte{}, nil
		}
	case string:
		switch k {
		case Text:
			return v, nil
		case Bytes:
			return []byte(v), nil
		}
	case []byte:
		switch k {
		case Text:
			return string(v), nil
		case Bytes:
			return v, nil
		}
	case int64:
		switch k {
		case Int:
			return v, nil
		case Bool:
			return v != 0, nil
		}
	case bool:
		if k == Bool {
			return v, nil
		}
	}
	return nil, signalbox.Errorf(signalbox.CodeInvalid, "a value is %T and not %s", v, k)
}
