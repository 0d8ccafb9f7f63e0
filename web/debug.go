package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// Debugger starts debug sessions. It checks whether whoever asks may; limit 0 is its default.
type Debugger interface {
	Debug(ctx context.Context, jobID string, by route.Actor, limit time.Duration) (*signalbox.Job, error)
}

// debugView is what the page of a debug job says about the session.
type debugView struct {
	OfURL, OfName string
	By            string
	Running       bool
	Host          string
	Until         *Moment
	Enter, Load   string
	Commands      string
}

// sessionView is an open debug session on the page of its job.
type sessionView struct {
	URL, Agent string
	Until      *Moment
}

// readDebug fills what a job's page says about debugging.
func readDebug(tx *store.Tx, b *jobBody, events []*signalbox.Event) error {
	j := b.Job
	if j.DebugOf == "" {
		sessions, err := tx.DebugJobsOf(j.ID)
		if err != nil {
			return err
		}
		for _, d := range sessions {
			v := sessionView{URL: "/jobs/" + d.ID}
			if !d.StartedAt.IsZero() {
				a, err := tx.Attempt(d.AttemptID)
				if err != nil {
					return err
				}
				v.Agent, v.Until = clip(a.AgentName, 80), moment(d.StartedAt.Add(d.TimeLimit), tx.Now)
			}
			b.Sessions = append(b.Sessions, v)
		}
		return nil
	}
	of, err := tx.Job(j.DebugOf)
	if err != nil {
		return err
	}
	v := &debugView{OfURL: "/jobs/" + of.ID, OfName: clip(of.Name, 200), Host: b.AgentHost, Running: j.State == signalbox.JobRunning}
	if len(events) > 0 {
		v.By = actorName(events[0].Actor)
	}
	if v.Running {
		v.Until = moment(j.StartedAt.Add(j.TimeLimit), tx.Now)
		v.Enter, v.Load, v.Commands = "ssh "+cmdWord(v.Host), "source /tmp/.env-"+j.ID+"-*", "cat ~/commands"
		if !b.ourAgent {
			// The official agent numbers its files; the newest is this session's.
			v.Load = `source "$(ls -t /tmp/.env-* | head -n 1)"`
		}
	}
	b.Debug = v
	return nil
}

// cmdWord is a host name as it may stand in a command; what an agent calls itself may be anything.
func cmdWord(host string) string {
	ok := host != "" && !strings.HasPrefix(host, "-") && strings.IndexFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	}) < 0
	if !ok {
		return "HOST"
	}
	return host
}

// mayDebug fills whether to offer a session, and why not.
func (b *jobBody) mayDebug(r *http.Request) {
	u := route.ActorFrom(r.Context()).User
	if u == nil || b.Debug != nil || b.Open || !may(r, auth.JobDebug) {
		return
	}
	if err := auth.MayEnter(auth.Debug, u.Role, b.Project, signalbox.RefKindOf(b.Project, b.Workflow)); err != nil {
		b.DebugDenied = signalbox.ErrorMessage(err)
		return
	}
	b.MayDebug = true
}

// debugTimes are what the page offers; the API takes any.
var debugTimes = map[string]bool{"900": true, "3600": true, "10800": true, "28800": true}

func (w *Web) postJobDebug(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	var limit time.Duration
	if text := r.PostForm.Get("duration"); text != "" {
		if !debugTimes[text] {
			return signalbox.Errorf(signalbox.CodeInvalid, "A session cannot last %.20q seconds here; choose one of the times that the page offers", text)
		}
		n, _ := strconv.Atoi(text)
		limit = time.Duration(n) * time.Second
	}
	j, err := w.o.Debugger.Debug(r.Context(), r.PathValue("id"), route.ActorFrom(r.Context()), limit)
	if err != nil {
		return orNotFound(err, "job")
	}
	http.Redirect(rw, r, "/jobs/"+url.PathEscape(j.ID), http.StatusSeeOther)
	return nil
}

// debugRule says which jobs of a project may be debugged.
func debugRule(p *signalbox.Project) string {
	if !p.CustomPermissions {
		return "Debugging: all jobs but those of forked pull requests"
	}
	words := map[signalbox.RefKind]string{
		signalbox.RefDefaultBranch: "default branch", signalbox.RefOtherBranch: "other branches", signalbox.RefTag: "tags",
		signalbox.RefPullRequest: "pull requests", signalbox.RefForkedPullRequest: "forked pull requests",
	}
	var kinds []string
	for _, k := range p.DebugPermissions {
		if w := words[k]; w != "" {
			kinds = append(kinds, w)
		}
	}
	if len(kinds) == 0 {
		return "Debugging: no jobs"
	}
	return "Debugging: jobs of " + strings.Join(kinds, ", ")
}
