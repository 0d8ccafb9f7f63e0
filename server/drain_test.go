package server

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/route"
)

// TestARequestThatIsCutOffIsNotAcknowledged: a request that a stopping server gave up must not look as if it was done.
func TestARequestThatIsCutOffIsNotAcknowledged(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	m := &mux{}
	s := httptest.NewUnstartedServer(m.serve(route.Route{
		Access: route.OwnToken, Style: route.JSON, Handler: func(_ http.ResponseWriter, r *http.Request) error {
			stop()
			<-r.Context().Done()
			return r.Context().Err()
		},
	}))
	s.Config.BaseContext = func(net.Listener) context.Context { return withStopping(context.Background(), stopping) }
	s.Start()
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader("lines"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		resp.Body.Close()
		t.Errorf("it was answered with %s", resp.Status)
	}
}

// TestAStoppingServerIsNotAnAgentThatHungUp: a request of an agent goes on while the server stops.
func TestAStoppingServerIsNotAnAgentThatHungUp(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	stop()
	s := httptest.NewUnstartedServer((&mux{}).serve(route.Route{
		Access: route.OwnToken, Style: route.Agent, Handler: func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() },
	}))
	s.Config.BaseContext = func(net.Listener) context.Context { return withStopping(context.Background(), stopping) }
	s.Start()
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader("lines"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
