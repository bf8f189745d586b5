package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/resn"
)

// Bounds on what an instance may take: of time, of memory, and of questions at
// once to all.
const (
	answerWithin = 900 * time.Millisecond
	maxAnswer    = 256 << 10 // bytes
	atOnce       = 8
)

// said is what an instance said at a moment.
type said struct {
	At     time.Time
	Topics []resn.TopicState // it caches; nil if it caches nothing
	Cache  *cache.Stats
	Relay  *relay
	Err    error
}

// relay is what an owner's relay says of itself.
type relay struct {
	Leading   bool
	LastError string
	Topics    []struct {
		Topic     string
		Published uint64
		Waiting   int
		Lag       time.Duration
	}
}

// topics are those that it publishes or caches.
func (s *said) topics() []string {
	var names []string
	for _, t := range s.Topics {
		names = append(names, t.Topic)
	}
	if s.Relay != nil {
		for _, t := range s.Relay.Topics {
			names = append(names, t.Topic)
		}
	}
	return names
}

// probe asks admin ports.
type probe struct {
	client *http.Client
	own    *http.Transport // nil if the transport was given
}

func newProbe(transport http.RoundTripper) *probe {
	p := new(probe)
	if transport == nil {
		p.own = &http.Transport{DialContext: (&net.Dialer{Timeout: answerWithin}).DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}
		transport = p.own
	}
	p.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p
}

func (p *probe) close() {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
}

// all asks instances, a few at once, and returns what they said by their IDs.
func (p *probe) all(ctx context.Context, instances []discovery.Instance) map[string]said {
	out := make(map[string]said, len(instances))
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, in := range instances {
		slots <- struct{}{}
		wg.Go(func() {
			s := p.ask(ctx, &in)
			mu.Lock()
			out[key(&in)] = s
			mu.Unlock()
			<-slots
		})
	}
	wg.Wait()
	return out
}

// key tells an instance from those of other services.
func key(in *discovery.Instance) string { return in.Service + "/" + in.ID }

func (p *probe) ask(ctx context.Context, in *discovery.Instance) said {
	s := said{At: time.Now()}
	base, err := adminOf(in)
	if err != nil {
		s.Err = err
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for name, into := range map[string]any{"topics": &s.Topics, "cache": &s.Cache, "relay": &s.Relay} {
		if err := p.get(ctx, base.JoinPath("state", name).String(), into); err != nil {
			s.Err = err
			return s
		}
	}
	return s
}

// adminOf returns where an instance's admin port is, if it is at its own host.
func adminOf(in *discovery.Instance) (*url.URL, error) {
	text := in.Attributes[AdminAttribute]
	if text == "" {
		return nil, errors.New("it names no admin port")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("the admin port that it names is no http URL")
	}
	for _, e := range in.Endpoints {
		if host, _, err := net.SplitHostPort(e.Address); err == nil && host == u.Hostname() {
			return u, nil
		}
	}
	return nil, fmt.Errorf("the admin port that it names is on another host, %s", u.Hostname())
}

// get reads one part of an instance's state; one that it doesn't have stays as it
// is.
func (p *probe) get(ctx context.Context, target string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it doesn't answer within %s", brief(answerWithin))
	}
	if err != nil {
		return fmt.Errorf("it can't be asked: %w", errors.Unwrap(err)) // without the URL, which stands beside it
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(body) > maxAnswer:
		return fmt.Errorf("%s has more than %d KiB", target, maxAnswer>>10)
	case resp.StatusCode == http.StatusNotFound:
		return nil
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s says %s", target, resp.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	return nil
}
