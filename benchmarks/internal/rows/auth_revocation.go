package rows

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/auth/sqlauth"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/resn"
)

const (
	revocationReaders = 8
	revocationSamples = 1000 // per round and side
	revocationTopic   = "sessions"
)

func revocationRows() []ratio.Row {
	const against = "against from Publish to the last of 8 subscribers, on one NATS server, in turns"
	row := func(name string, bound ratio.Bound, note string, at float64, open func(context.Context) (*revoking, error)) ratio.Row {
		return ratio.Row{Name: name, Unit: "x", Bound: bound, Note: note + ", " + against, Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			r, err := open(ctx)
			if err != nil {
				return nil, nil, err
			}
			return func() (float64, error) { return r.versus(at) }, r.close, nil
		}}
	}
	fromCall := "from the call that ends a session, which a store in memory keeps, to its token's refusal at the last of 8 verifiers"
	fromCommit := "from the end of the commit of a session's end, in SQLite with an outbox, to its token's refusal at the last of 8 verifiers"
	return []ratio.Row{
		row("auth.revocation.p50.vs_bus", ratio.AtMost(3), "p50 "+fromCall, 0.50, openRevokingMemory),
		row("auth.revocation.p99.vs_bus", ratio.AtMost(3), "p99 "+fromCall, 0.99, openRevokingMemory),
		row("auth.revocation_sqlite.p50.vs_bus", ratio.AtMost(3), "p50 "+fromCommit, 0.50, openRevokingSQLite),
		row("auth.revocation_sqlite.p99.vs_bus", ratio.AtMost(3), "p99 "+fromCommit, 0.99, openRevokingSQLite),
	}
}

// revoking is a login service and verifiers, which tell of a revocation when it
// is in force, and as many subscribers to another topic of the same bus.
type revoking struct {
	closing
	ctx       context.Context //nolint:containedctx // of the whole row
	from      *bus.Bus
	login     *login.Service
	verifiers []*auth.Verifier
	committed func() time.Time // when the last write was, if that is when the clock starts

	told     chan int // the verifier that refuses from now on
	received chan int
}

func openRevokingMemory(ctx context.Context) (*revoking, error) {
	return openRevoking(ctx, func(r *revoking, o *login.Options) (driver.Store, error) {
		p, err := resn.NewPublisher(r.from, revocationTopic, nil)
		if err != nil {
			return nil, err
		}
		r.add(func() { _ = p.Close(context.WithoutCancel(ctx)) })
		o.Publisher = p
		return memauth.New(), nil
	})
}

func openRevokingSQLite(ctx context.Context) (*revoking, error) {
	return openRevoking(ctx, func(r *revoking, _ *login.Options) (driver.Store, error) {
		db, err := openSQLite(ctx)
		if err != nil {
			return nil, err
		}
		r.add(db.closer)
		r.add(func() { _ = db.db.Close() })
		box := outbox.New(db.db, db.dialect, nil)
		if err := box.Migrate(ctx); err != nil {
			return nil, err
		}
		announcer := resn.Announcer{Topic: revocationTopic, Origins: []string{authIssuer}}
		var committed time.Time // writes of the row come one after another
		store, err := sqlauth.New(db.db, &sqlauth.Options{
			Announce: func(ctx context.Context, tx *sql.Tx, all []driver.Announcement) error {
				for _, a := range all {
					e, err := announcer.Notice(resn.Event{Href: a.Href, Type: a.Type, ETag: a.ETag, Time: a.Time})
					if err == nil {
						err = box.Append(ctx, tx, revocationTopic, e)
					}
					if err != nil {
						return err
					}
				}
				return nil
			},
			Announced: func() { committed = time.Now(); box.Wake() },
		})
		if err == nil {
			err = store.Migrate(ctx)
		}
		if err != nil {
			return nil, err
		}
		r.committed = func() time.Time { return committed }
		relay := outbox.NewRelay(box, r.from, &outbox.RelayOptions{
			Topics: []string{revocationTopic},
			Watermark: func(topic string, w outbox.Watermark) bus.Event {
				return resn.Watermark{Topic: topic, Epoch: w.Epoch, Seq: w.Sequence, Time: w.Time}.CloudEvent("/" + topic)
			},
		})
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = relay.Run(running) // if it fails nothing arrives
		}()
		r.add(func() { stop(); <-done })
		return store, nil
	})
}

func openRevoking(ctx context.Context, store func(*revoking, *login.Options) (driver.Store, error)) (r *revoking, err error) {
	r = &revoking{ctx: ctx, told: make(chan int, 4*revocationReaders), received: make(chan int, 4*revocationReaders)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	buses, err := openPair(ctx, &r.closing)
	if err != nil {
		return nil, err
	}
	r.from = buses[0]
	opts := authOptions()
	s, err := store(r, opts)
	if err != nil {
		return nil, err
	}
	if r.login, err = login.New(s, opts); err != nil {
		return nil, err
	}
	if _, err = r.login.CreateAccount(ctx, "customers", "ada", authPassword, "courier"); err != nil {
		return nil, err
	}
	for i := range revocationReaders {
		v, err := auth.NewVerifier(buses[1], authIssuer, authAudience, &auth.VerifierOptions{
			Transport: inProcess{r.login.Handler(nil)}, OnRevoked: func(auth.Revocation) { r.told <- i },
		})
		if err != nil {
			return nil, err
		}
		r.add(func() { _ = v.Close(context.WithoutCancel(ctx)) })
		r.verifiers = append(r.verifiers, v)
		if err := v.Ready(ctx); err != nil {
			return nil, err
		}
		if _, err := buses[1].Broadcast(ctx, "plain", bus.BroadcastHandler{Event: func(bus.Event) { r.received <- i }}, nil); err != nil {
			return nil, err
		}
	}
	for range 20 {
		if _, _, err := r.pair(false); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// versus returns the ratio of a quantile of both.
func (r *revoking) versus(at float64) (float64, error) {
	ours, theirs := make([]time.Duration, revocationSamples), make([]time.Duration, revocationSamples)
	for i := range revocationSamples {
		var err error
		if ours[i], theirs[i], err = r.pair(i%2 == 0); err != nil {
			return 0, err
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	n := int(at * revocationSamples)
	return float64(ours[n]) / float64(theirs[n]), nil
}

// pair measures both, one right after the other.
func (r *revoking) pair(plainFirst bool) (ours, theirs time.Duration, err error) {
	session, err := r.login.Login(r.ctx, login.Credentials{Application: "customers", Name: "ada", Password: authPassword},
		login.Origin{Address: netip.MustParseAddr("192.0.2.1")})
	if err != nil {
		return 0, 0, err
	}
	t, err := r.login.Exchange(r.ctx, session.Token, authAudience)
	if err != nil {
		return 0, 0, err
	}
	for _, v := range r.verifiers {
		if _, err := v.Verify(r.ctx, t.Access); err != nil {
			return 0, 0, err
		}
	}
	if plainFirst {
		if theirs, err = r.plain(); err != nil {
			return 0, 0, err
		}
	}
	if ours, err = r.revoke(session.Session.ID, t.Access); err != nil {
		return 0, 0, err
	}
	if !plainFirst {
		theirs, err = r.plain()
	}
	return ours, theirs, err
}

// revoke ends a session, and returns how long it took until the last verifier
// refused its token. Each is asked when it tells that the notice is in force: who
// asked again and again would take the processor from what is measured.
func (r *revoking) revoke(id, token string) (time.Duration, error) {
	began := time.Now()
	if err := r.login.EndSession(r.ctx, "", id); err != nil {
		return 0, err
	}
	if r.committed != nil {
		began = r.committed()
	}
	err := r.all(r.told, func(i int) error {
		switch _, err := r.verifiers[i].Verify(r.ctx, token); {
		case errors.Is(err, auth.ErrToken):
			return nil
		case err != nil:
			return err
		}
		return errors.New("a token is accepted after its verifier was told that it was revoked")
	})
	return time.Since(began), err
}

// plain is the bus alone.
func (r *revoking) plain() (time.Duration, error) {
	began := time.Now()
	if err := r.from.Publish(r.ctx, "plain", bus.Event{Source: "/plain", Type: "plain"}); err != nil {
		return 0, err
	}
	err := r.all(r.received, func(int) error { return nil })
	return time.Since(began), err
}

// all waits for each of the readers once.
func (r *revoking) all(heard <-chan int, each func(int) error) error {
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for n := range revocationReaders {
		select {
		case i := <-heard:
			if err := each(i); err != nil {
				return err
			}
		case <-patience.C:
			return fmt.Errorf("%d of %d have heard after 10 s", n, revocationReaders)
		}
	}
	return nil
}
