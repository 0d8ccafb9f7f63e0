package engine

import (
	"os"
	"os/exec"
	"testing"

	"github.com/signalbox-ci/signalbox/store/storetest"
)

// onPostgres is the variable that makes the tests of this package use PostgreSQL.
const onPostgres = "SIGNALBOX_ENGINE_POSTGRES"

// TestOnPostgreSQL runs all tests with a store once more, on the other database.
func TestOnPostgreSQL(t *testing.T) {
	storetest.PostgresURL(t) // or skipped, or failed
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.skip=TestOnPostgreSQL|TestEveryOrderOfEvents|TestRandomSchedules")
	cmd.Env = append(os.Environ(), onPostgres+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
