package natsbus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// TestVerdictsOfABatch has somebody play JetStream and answer a batch of ten.
func TestVerdictsOfABatch(t *testing.T) {
	s, err := embedded.Start(t.Context(), &embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	nc, err := nats.Connect(s.URL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const n = 10
	full := errors.New("full")
	for name, test := range map[string]struct {
		answers []string
		after   func(*conn) // the answers
		safe    int
		err     error // of the others
		singles bool  // what comes next goes as single messages
	}{
		"all at once":            {answers: []string{`{"stream":"s","seq":99,"batch":"b","count":10}`}, safe: n},
		"piece by piece":         {answers: []string{`{"type":"ack","seq":0,"msgs":4}`, `{"type":"ack","seq":4,"msgs":4}`, `{"type":"ack","seq":8,"msgs":4}`, `{"stream":"s","seq":99,"batch":"b","count":10}`}, safe: n},
		"a gap":                  {answers: []string{`{"type":"ack","seq":2,"msgs":4}`, `{"type":"gap","last_seq":4,"seq":6}`, `{"stream":"s","seq":99,"batch":"b","count":3}`}, safe: 3, err: errCut},
		"a refusal amid":         {answers: []string{`{"type":"ack","seq":4,"msgs":4}`, `{"type":"err","seq":6,"error":{"code":400,"err_code":10077,"description":"too large"}}`, `{"type":"ack","seq":10,"msgs":4}`}, safe: 4, err: &jetstream.APIError{ErrorCode: 10077}, singles: true},
		"a failure to store":     {answers: []string{`{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"s","seq":0}`, `{"type":"ack","seq":10,"msgs":4}`}, err: &jetstream.APIError{ErrorCode: 10077}, singles: true},
		"what follows a cut":     {answers: []string{`{"error":{"code":400,"err_code":10208,"description":"unknown"},"stream":"s","seq":0}`}, err: &jetstream.APIError{ErrorCode: 10208}},
		"no JSON":                {answers: []string{`hello`}, singles: true},
		"more than were sent":    {answers: []string{`{"type":"ack","seq":4000,"msgs":4}`}, safe: n},
		"silence":                {answers: []string{`{"type":"ack","seq":6,"msgs":4}`}, after: func(c *conn) { c.batches.expire(0) }, safe: 6, err: errUnconfirmed, singles: true},
		"a connection that ends": {answers: []string{`{"type":"ack","seq":6,"msgs":4}`}, after: func(c *conn) { c.batches.fail(full) }, safe: 6, err: full},
		"nobody":                 {err: jetstream.ErrNoStreamResponse},
	} {
		t.Run(name, func(t *testing.T) {
			c := &conn{nc: nc}
			if err := c.batches.init(c); err != nil {
				t.Fatal(err)
			}
			c.batches.able.Store(true)
			subject := "x." + strings.ReplaceAll(name, " ", "-")
			var operations []string
			played := make(chan struct{})
			if test.answers != nil {
				sub, err := nc.Subscribe(subject, func(m *nats.Msg) {
					parts := strings.Split(m.Reply, ".")
					operations = append(operations, strings.Join(parts[len(parts)-4:], "."))
					if len(operations) < n {
						return
					}
					for _, a := range test.answers {
						_ = m.Respond([]byte(a))
					}
					_ = nc.Flush()
					close(played)
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = sub.Unsubscribe() }()
			}
			var mu sync.Mutex
			got, calls := make([]error, n), make([]int, n)
			all := make(chan struct{})
			left := n
			msgs := make([]driver.Message, n)
			if !c.sendBatch(t.Context(), subject, msgs, func(i int, err error) {
				mu.Lock()
				defer mu.Unlock()
				got[i], calls[i] = err, calls[i]+1
				if left--; left == 0 {
					close(all)
				}
			}) {
				t.Fatal("the batch wasn't sent")
			}
			if test.after != nil {
				<-played
				look := time.NewTicker(time.Millisecond)
				defer look.Stop()
				for c.batches.safe() < test.safe {
					<-look.C
				}
				test.after(c)
			}
			select {
			case <-all:
			case <-time.After(2 * time.Minute):
				mu.Lock()
				t.Fatalf("%d of %d messages heard nothing", left, n)
			}
			mu.Lock()
			defer mu.Unlock()
			for i, err := range got {
				switch {
				case calls[i] != 1:
					t.Errorf("done was called %d times for message %d", calls[i], i)
				case (err == nil) != (i < test.safe):
					t.Errorf("message %d: %v, but JetStream had the first %d safe", i, err, test.safe)
				case err != nil && test.err != nil && !errors.Is(err, test.err):
					t.Errorf("message %d: %v, want %v", i, err, test.err)
				case err != nil && !driver.IsTemporary(err) && !errors.Is(err, full):
					t.Errorf("message %d: %v isn't temporary: sent alone it hears its own verdict", i, err)
				}
			}
			if c.batches.open(n) == test.singles {
				t.Errorf("afterwards batches are sent: %v", test.singles)
			}
			if test.answers != nil {
				want := []string{"1.0.$FI"}
				for i := 2; i < n; i++ {
					want = append(want, fmt.Sprintf("%d.1.$FI", i))
				}
				want = append(want, fmt.Sprintf("%d.2.$FI", n))
				for i := range operations {
					operations[i] = strings.TrimPrefix(operations[i], "fail.")
				}
				if !slices.Equal(operations, want) {
					t.Errorf("the batch was sent as %v, want %v", operations, want)
				}
			}
		})
	}
}

// safe returns up to where the only batch is.
func (t *batches) safe() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.byID {
		return b.safe
	}
	return 0
}

// A message that can't be sent ends the batch, and those before it are safe.
func TestBatchEndsEarly(t *testing.T) {
	s, err := embedded.Start(t.Context(), &embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	nc, err := nats.Connect(s.URL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{nc: nc, js: js}
	c.opts.fill()
	if err := errors.Join(c.makeStreams(t.Context()), c.batches.init(c)); err != nil {
		t.Fatal(err)
	}
	const n, bad = 10, 6
	msgs := make([]driver.Message, n)
	msgs[bad].Body = make([]byte, nc.MaxPayload()+1)
	got := make([]error, n)
	var all sync.WaitGroup
	all.Add(n)
	if !c.sendBatch(t.Context(), c.subject("x"), msgs, func(i int, err error) { got[i] = err; all.Done() }) {
		t.Fatal("the batch wasn't sent")
	}
	all.Wait()
	for i, err := range got {
		if (err == nil) != (i < bad) || err != nil && !errors.Is(err, driver.ErrTooLarge) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	stream, err := js.Stream(t.Context(), c.streamName(0))
	if err != nil {
		t.Fatal(err)
	}
	if stored := stream.CachedInfo().State.Msgs; stored != bad {
		t.Errorf("%d messages are stored, want %d", stored, bad)
	}
	if len(c.batches.byID) != 0 {
		t.Error("the batch is still under way")
	}
}
