package api

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/setup"
)

// setUp makes the first administrator for whoever has the server's own token. The token in the answer is shown nowhere else.
func (a *API) setUp(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name         string `json:"name"`
		Email        string `json:"email"`
		Password     string `json:"password"`
		Organization string `json:"organization"`
		PublicURL    string `json:"public_url"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	if a.Setup == nil {
		return signalbox.Errorf(signalbox.CodeUnavailable, "this server cannot be set up through its API")
	}
	d, err := a.Setup.Finish(r.Context(), setup.Request(in))
	if err != nil {
		return err
	}
	return write(w, map[string]string{"name": d.User.Name, "token": d.Token, "warning": d.Warning})
}
