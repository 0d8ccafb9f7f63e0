//go:build !race

package engine

const schedules = 100_000
