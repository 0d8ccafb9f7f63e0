package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// agent speaks the protocol as an official agent does or, with ours, as our agent.
type agent struct {
	w     *world
	dice  *rand.Rand
	name  string
	ours  bool
	once  bool // one job, then it leaves
	token string
}

// work is a job on an agent's disk.
type work struct {
	job, attempt string
	logURL       string
	logToken     string
	lines        []string // events printed so far
	sent         int      // acknowledged
	ended        bool
	result       signalbox.JobResult
	reason       signalbox.Reason
}

func (a *agent) call(ctx context.Context, method, path, authorization string, body any, wait int, out any) (int, error) {
	timeout := 30 * time.Second
	if wait > 0 {
		timeout = time.Duration(wait+15) * time.Second
	}
	code, b, err := a.w.ask(ctx, a.dice, method, path, authorization, body, wait, timeout)
	if err == nil && code/100 == 2 && out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			a.w.Errorf("seed %d: %s %s: %v in %q", a.w.seed, method, path, err, b)
		}
	}
	return code, err
}

// live is an agent from its registration until it leaves. An official one that is killed is followed by a new one.
func (a *agent) live(ctx context.Context) {
	if !a.register(ctx) {
		return
	}
	var left *work
	for ctx.Err() == nil {
		life, kill := context.WithCancel(ctx)
		if !a.w.isCalm() && a.dice.IntN(3) == 0 {
			stop := time.AfterFunc(time.Duration(a.dice.Int64N(int64(20*time.Minute))), kill)
			defer stop.Stop()
		}
		gone := a.process(life, &left)
		killed := life.Err() != nil && ctx.Err() == nil
		kill()
		if gone || !killed {
			return
		}
		a.w.note("%s is killed with %+v", a.name, left != nil)
		sleep(ctx, time.Duration(a.dice.Int64N(int64(2*time.Minute))))
		if !a.ours {
			a.name += "x"
			left = nil
			if !a.register(ctx) {
				return
			}
		}
	}
}

func (a *agent) register(ctx context.Context) bool {
	for ctx.Err() == nil {
		var out agentapi.RegisterResponse
		code, err := a.call(ctx, "POST", agentapi.Base+agentapi.PathRegister, "Token "+a.w.token, agentapi.RegisterRequest{Name: a.name, Hostname: a.name, SingleJob: a.once}, 0, &out)
		if err == nil && code == http.StatusCreated {
			a.token = out.Token
			return true
		}
		sleep(ctx, time.Second)
	}
	return false
}

// process is one run of the agent's program. What it leaves on the disk is in left. It returns true when it has left.
func (a *agent) process(ctx context.Context, left **work) (gone bool) {
	wait := 0
	if a.ours {
		wait = 20
	}
	state, silent := agentapi.StateWaitingForJobs, time.Now()
	if j := *left; j != nil {
		a.w.mu.Lock()
		if !j.ended { // some of it has run
			j.ended, j.result, j.reason = true, signalbox.JobFailed, signalbox.ReasonAgentRestarted
			j.lines = append(j.lines, fmt.Sprintf(`{"event":"job_finished","timestamp":1,"result":%q}`, j.result))
		}
		a.w.mu.Unlock()
		state = agentapi.StateStoppingJob
	}
	stopped := false
	ended := make(chan struct{}) // closed when the job has
	if *left != nil {
		close(ended)
	}
	for ctx.Err() == nil {
		j := *left
		req := agentapi.SyncRequest{State: state}
		if j != nil {
			req.JobID, req.Attempt = j.job, j.attempt
			select {
			case <-ended:
				if a.deliver(ctx, j) {
					req.State, req.JobResult, req.JobReason = agentapi.StateFinishedJob, string(j.result), ""
					if a.ours {
						req.JobReason = string(j.reason)
					}
				}
			default:
				a.deliver(ctx, j)
			}
		}
		var res agentapi.SyncResponse
		hold := wait
		if req.State == agentapi.StateRunningJob {
			hold = 0 // it would be dropped when the job ends
		}
		code, err := a.call(ctx, "POST", agentapi.Base+agentapi.PathSync, "Token "+a.token, req, hold, &res)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil && code == http.StatusNotFound:
			a.w.note("%s is unknown", a.name)
			return true
		case err != nil || code != http.StatusOK:
			if j == nil && time.Since(silent) > 10*time.Minute {
				return true
			}
			sleep(ctx, 3*time.Second)
			continue
		}
		silent = time.Now()
		switch res.Action {
		case agentapi.ActionRunJob:
			if state != agentapi.StateWaitingForJobs {
				break
			}
			a.w.note("%s gets %s", a.name, res.JobID)
			state, stopped = agentapi.StateStartingJob, false
			ended = make(chan struct{})
			*left = a.start(ctx, res.JobID, res.Attempt, ended)
			state = agentapi.StateRunningJob
		case agentapi.ActionStopJob:
			if j != nil && !stopped && state == agentapi.StateRunningJob {
				stopped, state = true, agentapi.StateStoppingJob
				a.w.mu.Lock()
				if !j.ended {
					j.ended, j.result = true, signalbox.JobStopped
					j.lines = append(j.lines, `{"event":"job_finished","timestamp":1,"result":"stopped"}`)
					close(ended)
				}
				a.w.mu.Unlock()
			}
		case agentapi.ActionWaitForJobs:
			if req.State == agentapi.StateFinishedJob {
				*left, state = nil, agentapi.StateWaitingForJobs
			}
		case agentapi.ActionShutdown:
			a.call(ctx, "POST", agentapi.Base+agentapi.PathDisconnect, "Token "+a.token, nil, 0, nil)
			a.w.note("%s leaves: %s", a.name, res.ShutdownReason)
			return true
		}
		sleep(ctx, max(time.Millisecond, min(time.Duration(res.NextSyncAfter)*time.Millisecond, 5*time.Second)))
	}
	return false
}

// start fetches a job and lets it run beside.
func (a *agent) start(ctx context.Context, job, attempt string, ended chan struct{}) *work {
	j := &work{job: job, attempt: attempt}
	var p agentapi.JobPayload
	path := agentapi.Base + agentapi.PathJobs + "/" + job
	if attempt != "" {
		path += "?attempt=" + attempt
	}
	for try := 0; ; try++ {
		code, err := a.call(ctx, "GET", path, "Token "+a.token, nil, 0, &p)
		if err == nil && code == http.StatusOK {
			break
		}
		if ctx.Err() != nil || code == http.StatusNotFound || try == 10 {
			a.w.mu.Lock()
			j.ended, j.result, j.reason = true, signalbox.JobFailed, signalbox.ReasonStartFailed
			a.w.mu.Unlock()
			close(ended)
			return j
		}
		sleep(ctx, 3*time.Second)
	}
	at := strings.Index(p.Logger.URL, agentapi.LogsBase)
	j.logURL, j.logToken = p.Logger.URL[at:], p.Logger.Token
	j.lines = []string{`{"event":"job_started","timestamp":1}`}
	a.w.tasks.Go(func() {
		n := 1 + a.dice2(job).IntN(40)
		for i := range n {
			if !sleep(ctx, time.Duration(a.dice2(fmt.Sprint(job, i)).Int64N(int64(15*time.Second)))) {
				return
			}
			a.w.mu.Lock()
			if j.ended {
				a.w.mu.Unlock()
				return
			}
			j.lines = append(j.lines, fmt.Sprintf(`{"event":"cmd_output","timestamp":1,"output":"line %d of %s\n"}`, i+1, a.name))
			a.w.mu.Unlock()
		}
		a.w.mu.Lock()
		defer a.w.mu.Unlock()
		if j.ended {
			return
		}
		j.ended, j.result = true, outcome(p.JobName)
		j.lines = append(j.lines, fmt.Sprintf(`{"event":"job_finished","timestamp":1,"result":%q}`, j.result))
		a.w.ran[p.Logger.Token] = fmt.Sprint(j.result, " ", len(j.lines))
		a.w.ran[job+" "+string(j.result)] = a.name
		close(ended)
	})
	return j
}

func (a *agent) dice2(of string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(a.name + of))
	return a.w.dice(h.Sum64())
}

// outcome is what the commands of a job do, by its name.
func outcome(name string) signalbox.JobResult {
	if strings.HasPrefix(name, "bad") {
		return signalbox.JobFailed
	}
	return signalbox.JobPassed
}

// deliver pushes what was printed. It returns true when nothing is left, or nobody wants the rest.
func (a *agent) deliver(ctx context.Context, j *work) bool {
	if j.logURL == "" {
		return true
	}
	for try := 0; try < 40; try++ {
		a.w.mu.Lock()
		n := len(j.lines)
		body := strings.Join(j.lines[j.sent:n], "\n") + "\n"
		from, over := j.sent, j.ended
		a.w.mu.Unlock()
		if from == n {
			return over
		}
		code, err := a.call(ctx, "POST", fmt.Sprintf("%s?start_from=%d", j.logURL, from), "Bearer "+j.logToken, []byte(body), 0, nil)
		switch {
		case err == nil && code == http.StatusOK:
			j.sent = n
			continue
		case err == nil && (code == http.StatusUnauthorized || code == http.StatusUnprocessableEntity):
			j.sent = n // the attempt is over
			continue
		case ctx.Err() != nil:
			return false
		case !over:
			return false
		}
		sleep(ctx, time.Second)
	}
	return true // an official agent gives up after a minute
}
