package web

import (
	"net/http"
	"net/url"

	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// postStar gives a project the user's star, or takes it away.
func (w *Web) postStar(rw http.ResponseWriter, r *http.Request) error {
	user := route.ActorFrom(r.Context()).User
	on, name := r.PostFormValue("on") == "true", ""
	if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		p, err := tx.FindProject(r.PathValue("name"))
		if err != nil {
			return orNotFound(err, "project")
		}
		name = p.Name
		if on {
			return tx.Star(user.ID, p.ID)
		}
		return tx.Unstar(user.ID, p.ID)
	}); err != nil {
		return err
	}
	http.Redirect(rw, r, "/projects/"+url.PathEscape(name), http.StatusSeeOther)
	return nil
}

// starredQuery finds the workflows of the projects that have somebody's star.
func starredQuery(tx *store.Tx, userID string) ([]store.WorkflowFilter, error) {
	starred, err := tx.Starred(userID)
	var out []store.WorkflowFilter
	for id := range starred {
		out = append(out, store.WorkflowFilter{ProjectID: id})
	}
	return out, err
}
