package server

import "context"

type stoppingKey struct{}

// withStopping notes the context that ends when the server gives up what is still open. Requests of agents do not end with
// it: they are short or released by the hub, and to them an end of their context means that the agent has hung up.
func withStopping(ctx, stopping context.Context) context.Context {
	return context.WithValue(ctx, stoppingKey{}, stopping)
}

// untilStopping returns a context that also ends when the server gives up what is still open.
func untilStopping(ctx context.Context) (context.Context, func()) {
	stopping, ok := ctx.Value(stoppingKey{}).(context.Context)
	if !ok {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(stopping, cancel)
	return ctx, func() { forget(); cancel() }
}
