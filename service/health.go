package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// health knows what the checks found last.
type health struct {
	timeout time.Duration

	mu     sync.Mutex
	checks []*check
	phase  phase
}

// phase is where a service is in its life.
type phase int

const (
	starting phase = iota
	serving
	draining
)

func (p phase) String() string { return [...]string{"starting", "serving", "draining"}[p] }

type check struct {
	name string
	ask  func(context.Context) error
	busy bool // the last question is still open
	last Finding
}

// A Finding is what a check found.
type Finding struct {
	// Name is that of the check.
	Name string
	// Err is what is wrong, nil if nothing is.
	Err error
	// At is when it was found, Took how long that took.
	At   time.Time
	Took time.Duration
}

var errUnchecked = errors.New("not checked yet")

func (h *health) add(name string, ask func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, &check{name: name, ask: ask, last: Finding{Name: name, Err: errUnchecked}})
}

func (h *health) enter(p phase) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = p
}

// round asks all checks at once. One that hasn't answered the last question isn't
// asked again.
func (h *health) round(ctx context.Context) {
	h.mu.Lock()
	var ask []*check
	for _, c := range h.checks {
		if !c.busy {
			c.busy = true
			ask = append(ask, c)
		}
	}
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range ask {
		wg.Go(func() {
			began := time.Now()
			answered := make(chan error, 1)
			go func() {
				err := safely(ctx, c.ask)
				answered <- err
				h.mu.Lock()
				defer h.mu.Unlock()
				c.busy = false
			}()
			var err error
			select {
			case err = <-answered:
			case <-ctx.Done():
				err = fmt.Errorf("no answer within %s", h.timeout)
			}
			h.mu.Lock()
			c.last = Finding{Name: c.name, Err: err, At: began, Took: time.Since(began)}
			h.mu.Unlock()
		})
	}
	wg.Wait()
}

// report returns all findings, and why the service isn't ready, nil if it is.
func (h *health) report() ([]Finding, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := make([]Finding, len(h.checks))
	var why []error
	for i, c := range h.checks {
		found[i] = c.last
		if c.last.Err != nil {
			why = append(why, fmt.Errorf("%s: %w", c.name, c.last.Err))
		}
	}
	if h.phase != serving {
		return found, errors.New(h.phase.String())
	}
	return found, errors.Join(why...)
}

// passing returns what the checks say, whatever the phase.
func (h *health) passing() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var why []error
	for _, c := range h.checks {
		if c.last.Err != nil {
			why = append(why, fmt.Errorf("check %s: %w", c.name, c.last.Err))
		}
	}
	return errors.Join(why...)
}

// Ready returns nil while the service takes requests and all checks pass, and
// what is missing otherwise. Its error is for people to read.
func (s *Service) Ready() error {
	_, err := s.health.report()
	return err
}

// Findings returns what each check found last.
func (s *Service) Findings() []Finding {
	found, _ := s.health.report()
	return found
}

// Draining reports whether the service has begun to end.
func (s *Service) Draining() bool {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return s.health.phase == draining
}

// watch keeps the findings fresh and tells the registry of changes, until ctx
// ends.
func (s *Service) watch(ctx context.Context) {
	tick := time.NewTicker(s.opts.CheckEvery)
	defer tick.Stop()
	before := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.health.round(ctx)
		if ctx.Err() != nil {
			return
		}
		now := ""
		if err := s.health.passing(); err != nil {
			now = err.Error()
		}
		if now == before {
			continue
		}
		before = now
		s.tell(ctx, now)
	}
}
