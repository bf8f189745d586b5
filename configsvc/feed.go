package configsvc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Status is how a watcher fares.
type Status struct {
	// Hash is what it runs.
	Hash string
	// FromCopy says that it started from its copy, and that the service has not
	// said anything that can be used since.
	FromCopy bool
	// Rejected is the hash of an update that can't be used; empty if there is
	// none.
	Rejected string
	// Err says why, or why the service can't be asked; nil if all is well.
	Err error
	// Asked is when the service last answered.
	Asked time.Time
}

// ErrNotYet is wrapped by errors of WatchOptions.Try about a version that may work
// later as it is, because what it names doesn't answer now.
var ErrNotYet = errors.New("it doesn't work yet")

// recheckEvery is the least time between two questions by Recheck.
const recheckEvery = time.Second

// feed keeps one list of keys current. What it gets it hands to apply, which
// decodes it, and rejects what can't be used.
type feed struct {
	client    *Client
	keys      []string
	url       string
	apply     func(context.Context, *fetched) error
	overrides []string

	wakeups  chan struct{}
	checks   chan chan error
	rechecks chan chan error
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex
	etag   string // of what was asked for last, used or not
	layers []LayerRef
	status Status
	later  bool // what is rejected may be used later as it is
	due    bool // a report waits
}

// poke has the service asked soon.
func (f *feed) poke() {
	select {
	case f.wakeups <- struct{}{}:
	default: // it will be, already
	}
}

// start gets a first configuration: from the service, or else from the copy.
func (f *feed) start(ctx context.Context) error {
	c := f.client
	c.listen(ctx)
	asking, cancel := context.WithTimeout(ctx, c.opts.StartTimeout)
	defer cancel()
	err := f.check(asking)
	for wait := 50 * time.Millisecond; err != nil && asking.Err() == nil && !f.rejected(); wait = min(2*wait, time.Second) {
		select {
		case <-time.After(wait):
			if again := f.check(asking); again == nil || !errors.Is(again, context.DeadlineExceeded) {
				err = again
			}
		case <-asking.Done():
		}
		if permanent(err) {
			break
		}
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	copied, copyErr := f.load(ctx)
	if copyErr == nil {
		if copyErr = f.apply(ctx, copied); copyErr == nil {
			f.mu.Lock()
			f.status.Hash, f.status.FromCopy, f.layers = copied.Hash, true, copied.Layers
			f.mu.Unlock()
			f.log(slog.LevelWarn, "started from the last good copy", err)
			f.tell()
			return nil
		}
	}
	if errors.Is(copyErr, fs.ErrNotExist) {
		return fmt.Errorf("configsvc: no configuration of %s: %w (and there is no copy of an earlier one)", strings.Join(f.keys, ", "), err)
	}
	return fmt.Errorf("configsvc: no configuration of %s: %w; nor from the copy: %w", strings.Join(f.keys, ", "), err, copyErr)
}

func (f *feed) log(level slog.Level, what string, err error) {
	f.client.opts.Logger.LogAttrs(context.Background(), level, "config", slog.String("what", what), slog.String("keys", strings.Join(f.keys, " ")), slog.Any("error", err))
}

// rejected reports whether what the service has can't be used, and won't be.
func (f *feed) rejected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.Rejected != "" && !f.later
}

// run asks when there is a notice, when somebody wants to know, and now and then.
func (f *feed) run() {
	defer close(f.done)
	defer f.client.drop(f)
	timer := time.NewTimer(f.pause())
	defer timer.Stop()
	var waiting []chan error // for the next answer
	var recheck <-chan time.Time
	var rechecked time.Time
	for {
		select {
		case <-f.ctx.Done():
			return
		case asked := <-f.checks:
			waiting = append(waiting, asked)
		case asked := <-f.rechecks:
			waiting = append(waiting, asked)
			if recheck == nil {
				recheck = time.After(time.Until(rechecked.Add(recheckEvery)))
			}
			continue
		case <-recheck:
			rechecked = time.Now()
		case <-f.wakeups:
		case <-timer.C:
			f.client.listen(f.ctx)
			f.tell()
		}
		err := f.check(f.ctx)
		for _, asked := range waiting {
			asked <- err
		}
		waiting, recheck = nil, nil
		timer.Reset(f.pause())
	}
}

// pause is the time to the next poll; not all at once.
func (f *feed) pause() time.Duration {
	poll := f.client.opts.Poll
	return poll - poll/10 + rand.N(poll/5+1)
}

// check asks the service, and uses what is new. Its error says that the current
// configuration is not what the service has.
func (f *feed) check(ctx context.Context) error {
	f.mu.Lock()
	etag := f.etag
	f.mu.Unlock()
	got, err := f.client.fetch(ctx, f.url, etag)
	if errors.Is(err, errNotModified) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.status.Asked = f.client.opts.Clock()
		if f.status.Rejected == "" {
			f.status.Err = nil
		}
		return f.status.Err
	}
	if err != nil {
		if f.ctx.Err() == nil {
			f.failed(err)
		}
		return err
	}
	if err := f.apply(ctx, got); err != nil {
		later := errors.Is(err, ErrNotYet) // before it is made clean of that
		err = fmt.Errorf("configsvc: an update of %s is rejected: %w", strings.Join(f.keys, ", "), got.clean(err))
		f.reject(got, err, later)
		return err
	}
	f.accept(got)
	return nil
}

// failed notes that the service can't be asked, or has no configuration to give.
func (f *feed) failed(err error) {
	f.mu.Lock()
	news := f.status.Err == nil || f.status.Err.Error() != err.Error()
	f.status.Err = err
	f.mu.Unlock()
	if news {
		f.log(slog.LevelWarn, "the service has nothing for us, what we have stays", err)
		f.tell()
	}
}

func (f *feed) reject(got *fetched, err error, later bool) {
	f.mu.Lock()
	f.etag, f.later = got.etag, later
	if later {
		f.etag = "" // the same again is news
	}
	known := f.status.Rejected == got.Hash && f.status.Err != nil && f.status.Err.Error() == err.Error()
	f.status.Rejected, f.status.Err, f.status.Asked = got.Hash, err, f.client.opts.Clock()
	f.mu.Unlock()
	if known {
		return // tried again, with the same outcome
	}
	f.log(slog.LevelError, "an update was rejected, what we have stays", err)
	f.tell()
}

func (f *feed) accept(got *fetched) {
	// First the copy: who sees the status may rely on it.
	if err := f.save(f.ctx, got); err != nil {
		f.log(slog.LevelWarn, "the last good copy was not written", err)
	}
	f.mu.Lock()
	f.etag, f.layers, f.later = got.etag, got.Layers, false
	f.status = Status{Hash: got.Hash, Asked: f.client.opts.Clock()}
	f.mu.Unlock()
	f.tell()
}

// clean returns the error without secrets in its text.
func (got *fetched) clean(err error) error {
	text := err.Error()
	for _, path := range got.Secrets {
		if secret := textAt(got.Value, path); secret != "" {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// textAt returns the text at a JSON Pointer, which may lead into arrays.
func textAt(v Value, path string) string {
	for path != "" {
		token, rest, more := strings.Cut(path[1:], "/")
		if path = ""; more {
			path = "/" + rest
		}
		if v.kind == Array {
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v.members) {
				return ""
			}
			v = v.members[i].value
			continue
		}
		v = v.Get(unescapeToken.Replace(token))
	}
	text, _ := v.Text()
	return text
}
