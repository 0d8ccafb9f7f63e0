package main

import (
	"context"

	"golang.org/x/sys/windows/svc"
)

// asService runs work, and answers the service manager of Windows when that has started this process: to stop the
// service is what SIGTERM is elsewhere.
func asService(ctx context.Context, work func(context.Context) error) error {
	is, err := svc.IsWindowsService()
	if err != nil || !is {
		return work(ctx)
	}
	s := &winService{ctx: ctx, work: work}
	if err := svc.Run(windowsService, s); err != nil {
		return err
	}
	return s.err
}

type winService struct {
	ctx  context.Context
	work func(context.Context) error
	err  error
}

// Execute implements svc.Handler.
func (s *winService) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (bool, uint32) {
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	done := make(chan struct{})
	go func() { defer close(done); s.err = s.work(ctx) }()
	changes <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case <-done:
			if s.err != nil {
				return true, exitError
			}
			return false, 0
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				changes <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				changes <- svc.Status{State: svc.StopPending}
				stop()
			}
		}
	}
}
