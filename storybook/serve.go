package storybook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Serve makes a book, answers on an address until ctx ends, and removes the worlds. What it has to say goes to out.
func Serve(ctx context.Context, address string, o Options, out io.Writer) (err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("storybook: listen on %s; choose another address with --listen: %w", address, err)
	}
	b, err := New(ctx, o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	server := &http.Server{
		Handler: b.Handler(), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }, // so that streams of live updates end with it
	}
	_, _ = fmt.Fprintf(out, "The storybook is at http://%s%s\nIt has %d stories of made-up data and asks nobody to sign in. End it with Ctrl-C.\n", l.Addr(), Path, len(b.stories))
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("storybook: answer on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close() // somebody holds on to a page
	}
	<-done
	return nil
}
