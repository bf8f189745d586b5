package driver

import (
	"context"
	"net"
	"sync"
	"time"
)

// Later returns a driver that connects when it is first used, again with each
// use until that works: for programs that start while their store is away. info
// is what the driver says of itself before. dial gets a context that ends after
// five seconds.
func Later(info Info, dial func(context.Context) (Driver, error)) Driver {
	return &later{info: info, dial: dial, dialling: make(chan struct{}, 1)}
}

type later struct {
	info     Info
	dial     func(context.Context) (Driver, error)
	dialling chan struct{} // held by who dials

	mu     sync.Mutex
	driver Driver // nil until it could be dialled
	closed bool
}

func (l *later) current() (Driver, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.driver, l.closed
}

// connected returns the driver, which it dials if nobody did.
func (l *later) connected(ctx context.Context) (Driver, error) {
	select {
	case l.dialling <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.dialling }()
	if d, closed := l.current(); closed {
		return nil, net.ErrClosed
	} else if d != nil {
		return d, nil
	}
	bound, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	d, err := l.dial(bound)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.driver = d
	return d, nil
}

func (l *later) Info() Info {
	if d, _ := l.current(); d != nil {
		return d.Info()
	}
	return l.info
}

func (l *later) Put(ctx context.Context, r Record) error {
	d, err := l.connected(ctx)
	if err != nil {
		return err
	}
	return d.Put(ctx, r)
}

func (l *later) Renew(ctx context.Context, key Key, owner string) error {
	d, err := l.connected(ctx)
	if err != nil {
		return err
	}
	return d.Renew(ctx, key, owner)
}

func (l *later) Delete(ctx context.Context, key Key, owner string) error {
	d, err := l.connected(ctx)
	if err != nil {
		return err
	}
	return d.Delete(ctx, key, owner)
}

func (l *later) List(ctx context.Context, service string) ([]Record, error) {
	d, err := l.connected(ctx)
	if err != nil {
		return nil, err
	}
	return d.List(ctx, service)
}

func (l *later) Watch(ctx context.Context, service string, sink Sink) error {
	d, err := l.connected(ctx)
	if err != nil {
		return err
	}
	return d.Watch(ctx, service, sink)
}

func (l *later) Close(ctx context.Context) error {
	select {
	case l.dialling <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.dialling }()
	l.mu.Lock()
	d := l.driver
	l.closed = true
	l.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.Close(ctx)
}
