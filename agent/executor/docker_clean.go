//go:build unix

package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// cleanTimeout is how long removing may take before it is given up and reported.
const cleanTimeout = time.Minute

// CleanDocker removes all containers, networks and volumes that carry the label of an agent. It is for the start of an
// agent, when none of its jobs can be running; other agents have other labels.
func CleanDocker(ctx context.Context, host, agent string) error {
	if agent == "" {
		return errors.New("no label was given")
	}
	engine, err := openEngine(host)
	if err != nil {
		return err
	}
	defer engine.Close()
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	return removeLabelled(ctx, engine, labelAgent+"="+agent)
}

// removeLabelled removes what carries a label: containers, then the networks they were in.
func removeLabelled(ctx context.Context, engine *client.Client, label string) error {
	filter := client.Filters{}.Add("label", label)
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		return fmt.Errorf("list the containers that are left: %w", err)
	}
	var ids []string
	for _, c := range containers.Items {
		ids = append(ids, c.ID)
	}
	err = removeContainers(ctx, engine, ids)
	networks, lerr := engine.NetworkList(ctx, client.NetworkListOptions{Filters: filter})
	if lerr != nil {
		return errors.Join(err, fmt.Errorf("list the networks that are left: %w", lerr))
	}
	for _, n := range networks.Items {
		err = errors.Join(err, removeNetwork(ctx, engine, n.ID))
	}
	return err
}

// removeContainers kills and removes containers with their anonymous volumes, all at once.
func removeContainers(ctx context.Context, engine *client.Client, ids []string) error {
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { errs[i] = removeContainer(ctx, engine, id) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func removeContainer(ctx context.Context, engine *client.Client, id string) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		_, err := engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if !errdefs.IsConflict(err) { // "is already in progress": wait until it is over
			return fmt.Errorf("remove the container %s: %w", id, err)
		}
		if !pauseFor(ctx, pause) {
			return fmt.Errorf("remove the container %s: %w", id, err)
		}
	}
}

func removeNetwork(ctx context.Context, engine *client.Client, id string) error {
	for try, pause := 1, 10*time.Millisecond; ; try, pause = try+1, min(2*pause, time.Second) {
		_, err := engine.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		// A container that was just removed may not have left its network yet.
		if try == 10 || !pauseFor(ctx, pause) {
			return fmt.Errorf("remove the network %s: %w", id, err)
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
