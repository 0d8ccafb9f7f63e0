package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// bubble runs a test of the hub in virtual time.
func bubble(t *testing.T, test func(r *replay)) {
	t.Helper()
	dir := storetest.Folder(t)
	synctest.Test(t, func(t *testing.T) { test(newReplay(t, t.Name(), dir)) })
}

func (r *replay) call(method, path, authorization string, body any) *httptest.ResponseRecorder {
	r.Helper()
	b, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			r.Fatal(err)
		}
	}
	req := httptest.NewRequest(method, path, bytes.NewReader(b))
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	r.mux.ServeHTTP(w, req)
	return w
}

// register makes an agent and returns its access token.
func (r *replay) register(req agentapi.RegisterRequest) string {
	r.Helper()
	w := r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+r.registration, req)
	var res agentapi.RegisterResponse
	if err := json.Unmarshal(w.Body.Bytes(), &res); err != nil || w.Code != http.StatusCreated {
		r.Fatalf("register: %d %s", w.Code, w.Body)
	}
	return res.Token
}

func (r *replay) say(token string, req agentapi.SyncRequest) agentapi.SyncResponse {
	r.Helper()
	w := r.call("POST", agentapi.Base+agentapi.PathSync, "Token "+token, req)
	var res agentapi.SyncResponse
	if err := json.Unmarshal(w.Body.Bytes(), &res); err != nil || w.Code != http.StatusOK {
		r.Fatalf("sync %s: %d %s", req.State, w.Code, w.Body)
	}
	return res
}

var waits = agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}

// job queues one job and returns its id.
func (r *replay) job() string {
	r.Helper()
	id := signalbox.NewID()
	b, err := json.Marshal(agentapi.SyncResponse{Action: agentapi.ActionRunJob, JobID: id})
	if err != nil {
		r.Fatal(err)
	}
	x := exchange{}
	x.Resp = &struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}{200, b}
	r.queue([]exchange{x})
	return r.jobs[id]
}

func (r *replay) fetch(token, job string) *httptest.ResponseRecorder {
	r.Helper()
	return r.call("GET", agentapi.Base+agentapi.PathJobs+"/"+job, "Token "+token, nil)
}

func (r *replay) jobRow(id string) (j *signalbox.Job) {
	r.Helper()
	r.write(func(tx *store.Tx) (err error) { j, err = tx.Job(id); return err })
	return j
}

func TestAWaitingAgentGetsAJobAtOnce(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.hub.Timing.Hold = 5 * time.Second
		got := make(chan agentapi.SyncResponse)
		go func() { got <- r.say(token, waits) }()
		synctest.Wait()
		begin := time.Now()
		job := r.job() // sleeps 10 ms after the job is queued
		if res := <-got; res.Action != agentapi.ActionRunJob || res.JobID != job {
			r.Fatalf("%+v", res)
		}
		if d := time.Since(begin); d > 20*time.Millisecond {
			r.Errorf("it took %s", d)
		}
		if res := r.say(token, waits); res.Action != agentapi.ActionRunJob || res.JobID != job {
			r.Errorf("asking again because the answer was lost: %+v", res)
		}
	})
}

func TestAnOfferNobodyFetchesGoesBack(t *testing.T) {
	bubble(t, func(r *replay) {
		one := r.register(agentapi.RegisterRequest{Name: "agent-one"})
		job := r.job()
		r.say(one, waits)
		queuedAt := r.jobRow(job).QueuedAt
		time.Sleep(55 * time.Second)
		j := r.jobRow(job)
		if j.State != signalbox.JobQueued || !j.QueuedAt.Equal(queuedAt) {
			r.Fatalf("after 55 s the job is %s, queued at %s (was %s)", j.State, j.QueuedAt, queuedAt)
		}
		if w := r.fetch(one, job); w.Code != http.StatusNotFound {
			r.Errorf("fetching a withdrawn offer: %d", w.Code)
		}
		two := r.register(agentapi.RegisterRequest{Name: "agent-two"})
		if res := r.say(two, waits); res.JobID != job {
			r.Errorf("the other agent got %+v", res)
		}
	})
}

func TestALostAgentEndsItsJobWithItsOwnReason(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job, _ := r.busy("one-agent")
		time.Sleep(14 * time.Minute)
		if j := r.jobRow(job); j.State != signalbox.JobRunning {
			r.Fatalf("after 14 minutes the job is %s %s", j.State, j.Reason)
		}
		time.Sleep(2 * time.Minute)
		j := r.jobRow(job)
		if j.Result != signalbox.JobFailed || j.Reason != signalbox.ReasonAgentLost {
			r.Fatalf("after 16 minutes the job is %s %s/%s", j.State, j.Result, j.Reason)
		}
		if w := r.call("POST", agentapi.Base+agentapi.PathSync, "Token "+token, waits); w.Code != http.StatusNotFound {
			r.Errorf("the lost agent's sync: %d", w.Code)
		}
	})
}

func TestAnAgentIsLostThoughItsLastWordIsOfTheFuture(t *testing.T) {
	bubble(t, func(r *replay) {
		_, job, _ := r.busy("one-agent")
		agent := r.agentRow("one-agent").ID
		time.Sleep(time.Minute) // what it said is stored by now
		r.write(func(tx *store.Tx) error {
			return tx.SaveSeen([]store.Seen{{AgentID: agent, At: tx.Now.Add(20 * time.Hour), State: "running-job"}})
		})
		time.Sleep(16 * time.Minute)
		if j := r.jobRow(job); j.Result != signalbox.JobFailed || j.Reason != signalbox.ReasonAgentLost {
			r.Errorf("the job is %s %s/%s", j.State, j.Result, j.Reason)
		}
	})
}

func TestAnAgentThatForgotItsJob(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job, running := r.busy("one-agent")
		r.say(token, waits) // a late copy of an old request
		time.Sleep(19 * time.Second)
		r.say(token, running)
		r.say(token, waits)
		if j := r.jobRow(job); j.State != signalbox.JobRunning {
			r.Fatalf("copies of old requests ended the job: %s %s", j.Result, j.Reason)
		}
		time.Sleep(21 * time.Second)
		r.say(token, waits)
		if j := r.jobRow(job); j.Reason != signalbox.ReasonAgentRestarted {
			r.Errorf("the job is %s %s/%s", j.State, j.Result, j.Reason)
		}
	})
}

func TestDisconnectWithAnOpenJob(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.job()
		r.say(token, waits)
		r.fetch(token, job)
		if w := r.call("POST", agentapi.Base+agentapi.PathDisconnect, "Token "+token, nil); w.Code != 200 || w.Body.String() != "disconnected" {
			r.Fatalf("%d %s", w.Code, w.Body)
		}
		if j := r.jobRow(job); j.Reason != signalbox.ReasonAgentDisconnected {
			r.Errorf("the job is %s %s/%s", j.State, j.Result, j.Reason)
		}
	})
}

func TestRegisteringAgain(t *testing.T) {
	bubble(t, func(r *replay) {
		req := agentapi.RegisterRequest{Name: "one-agent", Hostname: "box"}
		first := r.register(req)
		second := r.register(req) // the answer was lost: nobody has synced yet
		if w := r.call("POST", agentapi.Base+agentapi.PathSync, "Token "+first, waits); w.Code != http.StatusNotFound {
			r.Errorf("the lost token still works: %d", w.Code)
		}
		job := r.job()
		r.say(second, waits)
		r.fetch(second, job)
		other := req
		other.Hostname = "elsewhere"
		if w := r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+r.registration, other); w.Code != http.StatusBadRequest {
			r.Errorf("another machine took the name: %d %s", w.Code, w.Body)
		}
		again := func() int {
			return r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+r.registration, req).Code
		}
		runs := agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job}
		for range 5 { // copies of its own registration
			time.Sleep(2 * time.Second)
			r.say(second, runs)
			if code := again(); code != http.StatusBadRequest {
				r.Fatalf("a late copy took its place: %d", code)
			}
		}
		time.Sleep(alive)
		if code := again(); code != http.StatusCreated { // a container that was started anew has the same process id
			r.Errorf("it cannot come back: %d", code)
		}
		if j := r.jobRow(job); j.Reason != signalbox.ReasonAgentRestarted {
			r.Errorf("its job is %s %s/%s", j.State, j.Result, j.Reason)
		}
		third := req
		third.PID = 4711
		r.register(third) // the same machine and another process: the old one is dead
	})
}

func TestReleaseEndsHeldSyncs(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.hub.Timing.Hold = 5 * time.Second
		got := make(chan agentapi.SyncResponse)
		go func() { got <- r.say(token, waits) }()
		synctest.Wait()
		begin := time.Now()
		r.hub.Release()
		res := <-got
		if d := time.Since(begin); d > 0 || res.Action != agentapi.ActionContinue || res.NextSyncAfter < 1000 {
			r.Errorf("released after %s with %+v", d, res)
		}
	})
}

func TestAnAgentThatHangsUpGetsNoOffer(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.hub.Timing.Hold = 5 * time.Second
		ctx, hangUp := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			_, err := r.hub.Sync(ctx, auth.HashToken(token), waits, 0)
			done <- err
		}()
		synctest.Wait()
		hangUp()
		if err := <-done; err == nil {
			r.Error("an answer to nobody")
		}
		job := r.job()
		if j := r.jobRow(job); j.State != signalbox.JobQueued {
			r.Errorf("the job is %s", j.State)
		}
	})
}

// TestANewerSyncIsTheOneThatIsTold: an agent that dropped a held sync asks again, and the server may not know yet that nobody reads
// the answer of the first.
func TestANewerSyncIsTheOneThatIsTold(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job, runs := r.busy("one-agent")
		type answer struct {
			after  time.Duration
			action agentapi.Action
		}
		begin := time.Now()
		sync := func() <-chan answer {
			c := make(chan answer, 1)
			go func() {
				res, err := r.hub.Sync(context.Background(), auth.HashToken(token), runs, 30*time.Second)
				if err != nil {
					r.Error(err)
				}
				c <- answer{time.Since(begin), res.Action}
			}()
			synctest.Wait()
			return c
		}
		older := sync()
		time.Sleep(time.Second)
		newer := sync()
		if a := <-older; a.after != time.Second || a.action != agentapi.ActionContinue {
			r.Errorf("the older sync: %+v", a)
		}
		time.Sleep(time.Second)
		if err := r.hub.Store.Write(context.Background(), func(tx *store.Tx) error {
			return r.hub.Engine.StopJob(tx, job, "user:ann", signalbox.ReasonUser)
		}); err != nil {
			r.Fatal(err)
		}
		if a := <-newer; a.after != 2*time.Second || a.action != agentapi.ActionStopJob {
			r.Errorf("the newer sync: %+v", a)
		}
	})
}

// closing is a connection whose other end closes it as soon as it has read the answer.
type closing struct {
	*httptest.ResponseRecorder
	close func()
}

func (c *closing) Flush() { c.close() }

// TestAnAnswerThatArrivedIsNotTakenBack: a proxy, or an agent that keeps no connection, hangs up when it has its answer.
func TestAnAnswerThatArrivedIsNotTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		early bool // it hangs up before
		code  int
	}{"after the answer": {false, http.StatusOK}, "before the answer": {true, http.StatusNotFound}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *replay) {
				token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
				job := r.job()
				ctx, hangUp := context.WithCancel(context.Background())
				defer hangUp()
				body, err := json.Marshal(waits)
				if err != nil {
					r.Fatal(err)
				}
				// The offer is there already, so nothing looks at the connection while it is made.
				r.say(token, waits)
				req := httptest.NewRequestWithContext(ctx, "POST", agentapi.Base+agentapi.PathSync, bytes.NewReader(body))
				req.Header.Set("Authorization", "Token "+token)
				w := &closing{httptest.NewRecorder(), hangUp}
				if c.early {
					hangUp()
				}
				r.mux.ServeHTTP(w, req)
				if w := r.fetch(token, job); w.Code != c.code {
					r.Errorf("it fetches its job: %d %s, want %d", w.Code, w.Body, c.code)
				}
			})
		})
	}
}

func TestWrongRequestsLeaveTheAgentAlone(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		other := r.register(agentapi.RegisterRequest{Name: "other-agent"})
		job := r.job()
		r.say(token, waits)
		r.fetch(token, job)
		r.say(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job})
		before := r.jobRow(job)
		sync := agentapi.Base + agentapi.PathSync
		for _, c := range []struct {
			what, method, path, auth string
			body                     any
			want                     int
		}{
			{"no token", "POST", sync, "", waits, 401},
			{"other scheme", "POST", sync, "Bearer " + token, waits, 401},
			{"unknown token", "POST", sync, "Token nope", waits, 404},
			{"not JSON", "POST", sync, "Token " + token, []byte("{"), 422},
			{"wrong type", "POST", sync, "Token " + token, []byte(`{"state":1}`), 422},
			{"unknown state", "POST", sync, "Token " + token, agentapi.SyncRequest{State: "dancing", JobID: job}, 422},
			{"unknown result", "POST", sync, "Token " + token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "great"}, 422},
			{"huge body", "POST", sync, "Token " + token, bytes.Repeat([]byte(" "), maxBody+1), 422},
			{"job of another agent", "GET", agentapi.Base + agentapi.PathJobs + "/" + job, "Token " + other, nil, 404},
			{"refresh without a job", "POST", agentapi.Base + agentapi.PathRefresh, "Token " + other, nil, 422},
			{"finish of another agent's job", "POST", sync, "Token " + other, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "passed"}, 200},
			{"finish of no job", "POST", sync, "Token " + other, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: "x", JobResult: "passed"}, 200},
			{"log without a token", "POST", agentapi.LogsBase + "/" + job + "?start_from=0", "", []byte("{}\n"), 401},
			{"log with the agent's token", "POST", agentapi.LogsBase + "/" + job + "?start_from=0", "Bearer " + token, []byte("{}\n"), 401},
			{"register with an agent token", "POST", agentapi.Base + agentapi.PathRegister, "Token " + token, agentapi.RegisterRequest{Name: "x-y-z-agent"}, 404},
			{"register without a name", "POST", agentapi.Base + agentapi.PathRegister, "Token " + r.registration, agentapi.RegisterRequest{}, 400},
			{"register as a URL", "POST", agentapi.Base + agentapi.PathRegister, "Token " + r.registration, agentapi.RegisterRequest{Name: "https://sts.amazonaws.com/"}, 400},
			{"register for a job but many", "POST", agentapi.Base + agentapi.PathRegister, "Token " + r.registration, agentapi.RegisterRequest{Name: "for-a-job", JobID: job}, 400},
			{"register for no job", "POST", agentapi.Base + agentapi.PathRegister, "Token " + r.registration, agentapi.RegisterRequest{Name: "for-a-job", SingleJob: true, JobID: "7"}, 400},
			{"register for a taken job", "POST", agentapi.Base + agentapi.PathRegister, "Token " + r.registration, agentapi.RegisterRequest{Name: "for-a-job", SingleJob: true, JobID: job}, 400},
		} {
			if w := r.call(c.method, c.path, c.auth, c.body); w.Code != c.want {
				r.Errorf("%s: %d, want %d: %s", c.what, w.Code, c.want, w.Body)
			}
		}
		if j := r.jobRow(job); j.State != before.State || j.AttemptID != before.AttemptID || j.Result != "" {
			r.Errorf("the job was %+v and is %+v", before, j)
		}
		if res := r.say(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job}); res.Action != agentapi.ActionContinue {
			r.Errorf("the agent is told %+v", res)
		}
	})
}

func TestRevokedRegistrationToken(t *testing.T) {
	bubble(t, func(r *replay) {
		r.write(func(tx *store.Tx) error {
			typ, err := tx.AgentType("s1-linux")
			if err != nil {
				return err
			}
			return tx.ExpireRegistrationTokens(typ.ID, "", tx.Now, "test")
		})
		w := r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+r.registration, agentapi.RegisterRequest{Name: "one-agent"})
		if w.Code != http.StatusNotFound {
			r.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestALogTokenIsForItsOwnOpenAttempt(t *testing.T) {
	bubble(t, func(r *replay) {
		tokens, jobs, logs := map[string]string{}, map[string]string{}, map[string]string{}
		for _, name := range []string{"agent-one", "agent-two"} {
			tokens[name] = r.register(agentapi.RegisterRequest{Name: name})
			jobs[name] = r.job()
			if res := r.say(tokens[name], waits); res.JobID != jobs[name] {
				r.Fatalf("%+v", res)
			}
			var p agentapi.JobPayload
			if err := json.Unmarshal(r.fetch(tokens[name], jobs[name]).Body.Bytes(), &p); err != nil {
				r.Fatal(err)
			}
			logs[name] = p.Logger.Token
		}
		if w := r.fetch(tokens["agent-one"], jobs["agent-two"]); w.Code != http.StatusNotFound {
			r.Errorf("an agent with a job of its own reads another's payload: %d", w.Code)
		}
		push := func(job, token string) int {
			return r.call("POST", agentapi.LogsBase+"/"+job+"?start_from=0", "Bearer "+token, []byte(`{"event":"job_started","timestamp":1}`+"\n")).Code
		}
		if code := push(jobs["agent-two"], logs["agent-one"]); code != http.StatusUnauthorized {
			r.Errorf("writing another job's log: %d", code)
		}
		if code := push(jobs["agent-one"], logs["agent-one"]); code != http.StatusOK {
			r.Errorf("writing one's own log: %d", code)
		}
		r.say(tokens["agent-one"], agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: jobs["agent-one"], JobResult: "passed"})
		if code := push(jobs["agent-one"], logs["agent-one"]); code != http.StatusUnauthorized {
			r.Errorf("writing a log after the end: %d", code)
		}
	})
}

func TestAgentsThatAreGoneLeaveNothingInMemory(t *testing.T) {
	bubble(t, func(r *replay) {
		for _, name := range []string{"agent-one", "agent-two"} {
			r.say(r.register(agentapi.RegisterRequest{Name: name, Hostname: "box"}), waits)
		}
		r.say(r.register(agentapi.RegisterRequest{Name: "agent-two", Hostname: "box", PID: 2}), waits) // started anew
		time.Sleep(2 * time.Second)
		r.hub.mu.Lock()
		n := len(r.hub.present)
		r.hub.mu.Unlock()
		if n != 2 {
			r.Errorf("%d copies of 2 agents", n)
		}
		time.Sleep(5 * time.Minute)
		r.hub.mu.Lock()
		n, byID := len(r.hub.present), len(r.hub.byID)
		r.hub.mu.Unlock()
		if n != 0 || byID != 0 {
			r.Errorf("%d and %d copies after all agents fell silent", n, byID)
		}
	})
}
