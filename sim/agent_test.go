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
	once  bool          // one job, then it leaves
	idle  time.Duration // after which it leaves, 0 is never
	grace time.Duration // for its job when its machine is taken away
	taken time.Time     // when that is, the zero time is never
	skew  time.Duration // of its clock
	keeps bool          // it is one that keeps leases
	fails bool          // it is broken: whatever it is given fails
	mute  bool          // and does not say that it is to blame
	cuts  []cut         // of its network
	token string
	die   func() // ends its process
}

// work is a job on an agent's disk.
type work struct {
	job, attempt string
	name         string // of the job
	id           string // of the attempt, which official agents do not know
	logURL       string
	logToken     string
	lines        []string // events printed so far
	lease        time.Duration
	until        time.Time // its end
	over         time.Time // when its commands really ended
	sent         int       // that nobody waits for any more
	acked        int       // that the server has said it has
	ended        bool
	result       signalbox.JobResult
	reason       signalbox.Reason
}

func newAgent(w *world, dice *rand.Rand, name string) *agent {
	a := &agent{w: w, dice: dice, name: name, ours: dice.IntN(2) == 0, once: dice.IntN(4) == 0, keeps: dice.IntN(5) > 0}
	if w.rules.Quarantine.Failures > 0 && !w.isCalm() {
		a.fails, a.mute = dice.IntN(3) == 0, dice.IntN(2) == 0
	}
	if w.lonely && !w.isCalm() {
		a.ours, a.once = dice.IntN(4) > 0, false
		return a
	}
	if dice.IntN(4) == 0 {
		a.idle = time.Duration(30+dice.IntN(300)) * time.Second
	}
	if dice.IntN(3) == 0 {
		a.skew = time.Duration(dice.Int64N(int64(48*time.Hour))) - 24*time.Hour
	}
	if dice.IntN(6) == 0 && !w.isCalm() {
		a.grace = time.Duration(dice.IntN(120)) * time.Second
		a.taken = time.Now().Add(time.Duration(dice.Int64N(int64(20 * time.Minute))))
	}
	return a
}

func (a *agent) call(ctx context.Context, method, path, authorization string, body any, wait int, out any) (int, error) {
	timeout := 30 * time.Second
	if wait > 0 {
		timeout = time.Duration(wait+15) * time.Second
	}
	mute, deaf := a.isCut()
	if mute {
		a.w.count("request of an agent that is cut off")
		sleep(ctx, timeout)
		return 0, errNetwork
	}
	code, b, err := a.w.ask(ctx, a.dice, request{method: method, path: path, authorization: authorization, wait: wait}, body, timeout)
	if deaf && err == nil {
		a.w.count("answer to an agent that is cut off")
		sleep(ctx, timeout)
		return 0, errNetwork
	}
	if err == nil && code/100 == 2 && out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			a.w.wrong("%s %s: %v in %q", method, path, err, b)
		}
	}
	return code, err
}

// event is a line of a log, with the time of the agent's clock.
func (a *agent) event(format string, args ...any) string {
	return fmt.Sprintf(`{"event":%s,"timestamp":%d}`, fmt.Sprintf(format, args...), time.Now().Add(a.skew).Unix())
}

// live is an agent from its registration until it leaves. An official one that is killed is followed by a new one.
func (a *agent) live(ctx context.Context) {
	if !a.register(ctx) {
		return
	}
	var left *work
	for ctx.Err() == nil {
		life, kill := context.WithCancel(ctx)
		a.die = kill
		often, soon := 3, int64(12*time.Minute)
		if a.w.lonely {
			often, soon = 1, int64(4*time.Minute)
		}
		if !a.w.isCalm() && a.dice.IntN(often) == 0 {
			stop := time.AfterFunc(time.Duration(a.dice.Int64N(soon)), func() {
				if !a.w.isCalm() {
					kill()
				}
			})
			defer stop.Stop()
		}
		gone := a.process(life, &left)
		killed := life.Err() != nil && ctx.Err() == nil
		kill()
		if gone || !killed {
			return
		}
		a.w.note("%s is killed with a job: %v", a.name, left != nil)
		a.w.count(map[bool]string{false: "agent killed while it is free", true: "agent killed in an attempt"}[left != nil])
		away := 2 * time.Minute
		if a.w.rules.Lease > 0 {
			away *= 3
		}
		sleep(ctx, time.Duration(a.dice.Int64N(int64(away))))
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
		a.w.mu.Lock()
		token := a.w.token
		a.w.mu.Unlock()
		var out agentapi.RegisterResponse
		code, err := a.call(ctx, "POST", agentapi.Base+agentapi.PathRegister, "Token "+token, agentapi.RegisterRequest{
			Name: a.name, Hostname: a.name, SingleJob: a.once, IdleTimeout: int(a.idle / time.Second), InterruptionGracePeriod: int(a.grace / time.Second),
		}, 0, &out)
		if err == nil && code == http.StatusCreated {
			a.token = out.Token
			a.w.mu.Lock()
			a.w.tokens[a.name] = append(a.w.tokens[a.name], "Token "+out.Token)
			a.w.mu.Unlock()
			a.w.count("registration")
			return true
		}
		sleep(ctx, time.Duration(1+a.dice.IntN(5))*time.Second)
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
			a.end(j, signalbox.JobFailed, signalbox.ReasonAgentRestarted)
		}
		j.lease = 0 // nothing runs any more
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
		if !a.taken.IsZero() && time.Now().After(a.taken) {
			req.InterruptedAt = a.taken.Add(a.skew).Unix()
		}
		if j != nil {
			req.JobID, req.Attempt, req.Lease = j.job, j.attempt, int(j.lease/time.Second)
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
		asked := time.Now()
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
		if j != nil {
			a.w.mu.Lock()
			j.until = asked.Add(j.lease)
			a.w.mu.Unlock()
		}
		switch res.Action {
		case agentapi.ActionRunJob:
			if state != agentapi.StateWaitingForJobs {
				break
			}
			if !a.w.isCalm() && a.dice.IntN(15) == 0 {
				a.w.count("agent killed when it is given a job")
				a.die()
				return false
			}
			state, stopped = agentapi.StateStartingJob, false
			ended = make(chan struct{})
			*left = a.start(ctx, res, asked, ended)
			state = agentapi.StateRunningJob
		case agentapi.ActionStopJob:
			if j != nil && !stopped && state == agentapi.StateRunningJob {
				stopped, state = true, agentapi.StateStoppingJob
				a.w.mu.Lock()
				if !j.ended {
					a.end(j, signalbox.JobStopped, "")
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
		sleep(ctx, max(time.Millisecond, time.Duration(res.NextSyncAfter)*time.Millisecond))
	}
	return false
}

// end ends the commands of a job; the lock is held.
func (a *agent) end(j *work, result signalbox.JobResult, reason signalbox.Reason) {
	j.ended, j.result, j.reason = true, result, reason
	if j.over.IsZero() {
		j.over = time.Now()
	}
	j.lines = append(j.lines, a.event(`"job_finished","result":%q`, result))
}

// start fetches a job and lets it run beside. It was given by the answer to a request that was sent at a time.
func (a *agent) start(ctx context.Context, given agentapi.SyncResponse, asked time.Time, ended chan struct{}) *work {
	job, attempt := given.JobID, given.Attempt
	j := &work{job: job, attempt: attempt}
	if a.ours && a.keeps {
		j.lease = time.Duration(given.Lease) * time.Second
		j.until = asked.Add(j.lease)
	}
	var p agentapi.JobPayload
	path := agentapi.Base + agentapi.PathJobs + "/" + job
	if attempt != "" {
		path += "?attempt=" + attempt
	}
	tries := 10
	if a.w.lonely {
		tries = 2
	}
	for try := 0; ; try++ {
		code, err := a.call(ctx, "GET", path, "Token "+a.token, nil, 0, &p)
		if err == nil && code == http.StatusOK {
			break
		}
		if ctx.Err() != nil || code == http.StatusNotFound || try == tries || j.lease > 0 && time.Until(j.until) <= 0 {
			a.w.mu.Lock()
			j.ended, j.result, j.reason = true, signalbox.JobFailed, signalbox.ReasonStartFailed
			if j.lease > 0 && time.Until(j.until) <= 0 {
				j.reason = signalbox.ReasonLeaseEnded
			}
			a.w.unread[job+" "+a.name] = true
			a.w.mu.Unlock()
			close(ended)
			return j
		}
		sleep(ctx, 3*time.Second)
	}
	at := strings.Index(p.Logger.URL, agentapi.LogsBase)
	j.logURL, j.logToken, j.name = p.Logger.URL[at:], p.Logger.Token, p.JobName
	j.lines = []string{a.event(`"job_started"`)}
	begun := time.Now()
	var err error
	if _, j.id, _, err = a.w.keys.ParseAttemptToken(j.logToken); err != nil {
		a.w.wrong("the log token of job %s: %v", j.name, err)
	}
	a.w.mu.Lock()
	if other := a.w.works[j.id]; other != nil {
		a.w.wrong("an attempt of job %s is run twice (I2)", j.name)
	}
	a.w.works[j.id] = j
	for _, other := range a.w.works {
		if other.job == j.job && other != j {
			a.w.overlap(j, other, begun)
		}
	}
	a.w.mu.Unlock()
	a.w.note("%s runs %s", a.name, j.name)
	a.w.tasks.Go(func() { a.execute(ctx, j, ended) })
	if j.lease > 0 {
		if a.dice.IntN(3) == 0 {
			from := time.Now().Add(time.Duration(a.dice.Int64N(int64(time.Minute))))
			a.cuts = append(a.cuts, cut{from, from.Add(j.lease + time.Duration(a.dice.Int64N(int64(6*time.Minute)))), a.dice.IntN(4) == 0})
		}
		a.w.tasks.Go(func() { a.keep(ctx, j, ended) })
	}
	return j
}

// execute is what the commands of a job do. A job takes between no time and some minutes.
func (a *agent) execute(ctx context.Context, j *work, ended chan struct{}) {
	h := fnv.New64a()
	h.Write([]byte(a.name + j.name))
	dice := a.w.dice(h.Sum64())
	pace := int64(20 * time.Second)
	if j.lease > 0 {
		pace *= 2
	}
	if dice.IntN(4) == 0 {
		pace = int64(2 * time.Second)
	}
	for i := range dice.IntN(16) {
		ok := sleep(ctx, time.Duration(dice.Int64N(pace)))
		a.w.mu.Lock()
		if !ok || j.ended {
			if j.over.IsZero() {
				j.over = time.Now() // its process was killed
			}
			a.w.mu.Unlock()
			return
		}
		j.lines = append(j.lines, a.event(`"cmd_output","output":"line %d of %s\n"`, i+1, a.name))
		a.w.mu.Unlock()
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	if j.ended || ctx.Err() != nil {
		if j.over.IsZero() {
			j.over = time.Now()
		}
		return
	}
	result, reason := a.outcome(j.name)
	a.end(j, result, reason)
	close(ended)
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
		case err == nil && code == http.StatusOK && j.acked == from:
			j.sent = n
			a.w.mu.Lock()
			j.acked = n
			a.w.mu.Unlock()
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
