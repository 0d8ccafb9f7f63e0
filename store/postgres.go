package store

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib"
)

const postgresDialect = "postgres"

func openPostgres(ctx context.Context, url string) (*database, error) {
	db, err := openPool(ctx, url, 24, 8)
	if err != nil {
		return nil, err
	}
	urgent, err := openPool(ctx, url, 2, 2)
	if err != nil {
		db.Close()
		return nil, err
	}
	return &database{dialect: postgresDialect, writer: db, reader: db, urgent: urgent}, nil
}

func openPool(ctx context.Context, url string, most, idle int) (*sql.DB, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, fmt.Errorf("open the PostgreSQL database: %w", err)
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(idle)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("connect to the PostgreSQL database: %w", err)
	}
	return db, nil
}
