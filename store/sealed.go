package store

import (
	"context"
	"database/sql"
	"errors"
)

// Get returns a sealed blob, nil when there is none of that name.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	var data []byte
	err := s.Read(ctx, func(t *Tx) (err error) { data, err = t.Sealed(name); return err })
	return data, err
}

// Sealed returns a sealed blob, nil when there is none of that name.
func (t *Tx) Sealed(name string) (data []byte, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT data FROM sealed WHERE name = $1`, name).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return data, err
}

// PutNew stores a sealed blob unless there is one of that name already: the first of several servers wins.
// The store never sees its plain text.
func (s *Store) PutNew(ctx context.Context, name string, data []byte) error {
	return s.Write(ctx, func(t *Tx) error {
		_, err := t.exec(`INSERT INTO sealed (name, data) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, data)
		return err
	})
}

// SealedNames returns the names of all sealed blobs.
func (t *Tx) SealedNames() ([]string, error) {
	return t.strings(`SELECT name FROM sealed ORDER BY name`)
}

// ResealNamed replaces a sealed blob, if it is still from.
func (t *Tx) ResealNamed(name string, data, from []byte) error {
	n, err := t.exec(`UPDATE sealed SET data = $1 WHERE name = $2 AND data = $3`, data, name, from)
	if err != nil {
		return err
	}
	return changed(n, "sealed", name)
}
