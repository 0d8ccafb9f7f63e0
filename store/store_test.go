package store_test

import (
	"testing"

	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return storetest.OpenSQLite(t) })
}

func TestPostgres(t *testing.T) {
	storetest.PostgresURL(t) // skips or fails here, once, when there is no server
	storetest.Run(t, func(t *testing.T) *store.Store { return storetest.OpenPostgres(t) })
}
