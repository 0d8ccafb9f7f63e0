//go:build nextrelease

package store

import "fmt"

// A build with the tag nextrelease stands for the next release: it knows one migration more, which older programs must be
// able to ignore. Tests of upgrades build it.
func init() {
	mainSchema.versions++
	laterMigrations = map[string]string{fmt.Sprintf("main_%04d", mainSchema.versions): fmt.Sprintf(`
		CREATE TABLE next_release (id TEXT NOT NULL PRIMARY KEY, data BYTES NOT NULL DEFAULT '');
		ALTER TABLE job ADD COLUMN next_release BIGINT NOT NULL DEFAULT 0;
		ALTER TABLE agent ADD COLUMN next_release TEXT NOT NULL DEFAULT '';
		CREATE INDEX job_next_release ON job (next_release) WHERE next_release > 0;
		UPDATE schema_meta SET version = %d WHERE id = 1;`, mainSchema.versions)}
}
