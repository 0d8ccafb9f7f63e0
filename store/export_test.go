package store

import (
	"context"
	"database/sql"
	"strconv"
)

// What only tests may touch.

// Databases returns the main and the log database's connections.
func (s *Store) Databases() (main, logs *sql.DB) { return s.main.writer, s.logs.writer }

// Pending tells how many writes wait for the writer of the main SQLite database.
func (s *Store) Pending() int {
	s.main.mu.Lock()
	defer s.main.mu.Unlock()
	return len(s.main.pending)
}

// LimitPages bounds the size of the main SQLite database, as a full disk does; 0 takes the bound away.
func (s *Store) LimitPages(more int) error {
	ctx := context.Background()
	n := 1 << 30
	if more > 0 {
		if err := s.main.writer.QueryRowContext(ctx, "PRAGMA page_count").Scan(&n); err != nil {
			return err
		}
		n += more
	}
	_, err := s.main.writer.ExecContext(ctx, "PRAGMA max_page_count = "+strconv.Itoa(n))
	return err
}
