//go:build !windows

package main

import "context"

// asService runs work; elsewhere than on Windows a service is a process like any other.
func asService(ctx context.Context, work func(context.Context) error) error { return work(ctx) }
