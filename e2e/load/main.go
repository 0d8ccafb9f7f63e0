// Command load is a fleet of agents in a process of its own, for benchmarks: it speaks the official agent's protocol on
// one kept connection for each agent, with requests that are written as bytes, so that it takes little of the machine
// that it shares with the server. It reads orders from standard input, a JSON document each, and prints what came of them.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// order is one document on standard input. The first one also says what fleet it is.
type order struct {
	Do string `json:"do"` // register, serve, flood, measure or report

	// For register:
	Address string `json:"address"` // host:port
	CAFile  string `json:"ca_file"` // of a server that speaks TLS; "" speaks plain HTTP
	Token   string `json:"token"`   // registration token
	Agents  int    `json:"agents"`
	Prefix  string `json:"prefix"` // of the agents' names
	// Kept is over how many connections all of them register; 0 is a connection each, which the agent goes on with.
	Kept int `json:"kept"`
	// Serve lets each agent sync as soon as it has registered; the order to serve comes too late then.
	Serve bool `json:"serve"`
	// Hold keeps a job for ever instead of reporting it as passed at once; Park then also falls silent.
	Hold bool `json:"hold"`
	Park bool `json:"park"`

	Seconds int `json:"seconds"` // for flood
}

// event is one line on standard output.
type event struct {
	Event string `json:"event"` // registered, job, stop, parked, flooded, report or error
	At    int64  `json:"at,omitempty"`
	Job   string `json:"job,omitempty"`
	Text  string `json:"text,omitempty"`

	Seconds float64 `json:"seconds,omitempty"`
	Syncs   int     `json:"syncs,omitempty"`
	P50     float64 `json:"p50,omitempty"` // ms until the answer, beyond what the server meant to wait
	P99     float64 `json:"p99,omitempty"`
	Max     float64 `json:"max,omitempty"`
	Refused int     `json:"refused,omitempty"`  // answers that were errors
	Cut     int     `json:"cut,omitempty"`      // requests without an answer, connections that could not be made
	Back    int     `json:"back,omitempty"`     // agents that were answered
	BackAt  int64   `json:"back_at,omitempty"`  // when the last of them was for the first time
	LastCut int64   `json:"last_cut,omitempty"` // when a request had no answer for the last time
	Wait    float64 `json:"mean_ms,omitempty"`  // from request to answer, in the mean
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	say := newSpeaker(out)
	var f *fleet
	for orders := json.NewDecoder(in); ; {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if f == nil && o.Do != "register" {
			return errors.New("the first order must be register")
		}
		switch o.Do {
		case "register":
			var err error
			if f, err = newFleet(o, say); err != nil {
				return err
			}
			if err := f.register(); err != nil {
				return err
			}
		case "serve":
			go f.serve()
		case "flood":
			if err := f.flood(o.Seconds); err != nil {
				return err
			}
		case "measure":
			f.stats.reset()
		case "report":
			say(f.stats.report())
		default:
			return fmt.Errorf("unknown order %q", o.Do)
		}
	}
}

func newSpeaker(out io.Writer) func(event) {
	var mu sync.Mutex
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	return func(e event) {
		mu.Lock()
		defer mu.Unlock()
		_ = enc.Encode(e)
		_ = w.Flush()
	}
}
