//go:build unix

package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
)

// progressPause is how often a pull that takes long says how far it is.
const progressPause = 5 * time.Second

// pullAll gets the images that the engine does not have yet, each once.
func (d *Docker) pullAll(ctx context.Context, say Emit) error {
	done := map[string]bool{}
	for _, c := range d.opts.Containers {
		if done[c.Image] {
			continue
		}
		done[c.Image] = true
		if err := d.pull(ctx, c.Image, say); err != nil {
			return err
		}
	}
	return nil
}

func (d *Docker) pull(ctx context.Context, image string, say Emit) error {
	name, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return sentence("The image name %q cannot be right: %w. It looks like registry.example.com/team/image:tag.", image, err)
	}
	_, err = d.engine.ImageInspect(ctx, image)
	if err == nil {
		return say([]byte("Using " + image + ", which the engine has already.\n"))
	}
	if !errdefs.IsNotFound(err) {
		return sentence("The engine cannot say whether it has the image %s: %w", image, err)
	}
	if err := say([]byte("Pulling " + image + "\n")); err != nil {
		return err
	}
	auth, err := authconfig.Encode(d.authFor(reference.Domain(name)))
	if err != nil {
		return err
	}
	cannot := func(err error) error {
		return sentence("The image %s cannot be pulled: %w\nCheck its name and tag and, if it is private, the image pull secret of the job.", image, err)
	}
	stream, err := d.engine.ImagePull(ctx, reference.TagNameOnly(name).String(), client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return cannot(err)
	}
	defer stream.Close()
	p := progress{image: image, next: time.Now().Add(progressPause)}
	for m, err := range stream.JSONMessages(ctx) {
		if err != nil {
			return cannot(err)
		}
		if m.Error != nil {
			return cannot(errors.New(m.Error.Message))
		}
		if line := p.add(m, time.Now()); line != "" {
			if err := say([]byte(line + "\n")); err != nil {
				return err
			}
		}
	}
	return nil
}

// progress makes a few lines of the many messages of a pull.
type progress struct {
	image  string
	next   time.Time
	layers map[string]*layer
}

type layer struct {
	done           bool
	current, total int64
}

// add returns the line that m is worth at now, "" for none.
func (p *progress) add(m jsonstream.Message, now time.Time) string {
	if m.ID == "" {
		return m.Status // digest and outcome
	}
	l := p.layers[m.ID]
	switch m.Status {
	case "Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete", "Already exists":
		if l == nil {
			l = &layer{}
			if p.layers == nil {
				p.layers = map[string]*layer{}
			}
			p.layers[m.ID] = l
		}
	default:
		return "" // "Pulling from ..." says nothing new
	}
	switch m.Status {
	case "Downloading":
		if m.Progress != nil {
			l.current, l.total = m.Progress.Current, m.Progress.Total
		}
	case "Download complete":
		l.current = l.total
	case "Pull complete", "Already exists":
		l.done, l.current = true, l.total
	}
	if now.Before(p.next) {
		return ""
	}
	p.next = now.Add(progressPause)
	var done int
	var current, total int64
	for _, l := range p.layers {
		if l.done {
			done++
		}
		current += l.current
		total += l.total
	}
	return fmt.Sprintf("%s: %d of %d layers done, %s of %s loaded", p.image, done, len(p.layers), megabytes(current), megabytes(total))
}

func megabytes(n int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1e6), ".0") + " MB"
}
