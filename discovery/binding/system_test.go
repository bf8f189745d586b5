package binding_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
)

// versions answers for instances; those at port 82 are of v2, and may fail.
type versions struct{ failing atomic.Bool }

func (v *versions) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), ContentLength: 2,
	}
	if v.failing.Load() && strings.HasSuffix(r.URL.Host, ":82") {
		resp.StatusCode = http.StatusInternalServerError
	}
	select {
	case <-time.After(5 * time.Millisecond):
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// Table, ramper, resolver and transport together: a version that begins to
// fail at 25% is taken back, and from then on gets nothing.
func TestRampOverATransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resolver := resolve(t, []discovery.Instance{at("v1", 0, "10.0.0.1:81"), at("v1", 1, "10.0.0.2:81"), at("v2", 0, "10.0.0.3:82")})
		table := open(t, binding.NewMemory(), nil)
		put(t, table, binding.Binding{Service: "orders", Rest: "v1"})
		ramper := binding.NewRamper(table)
		next := &versions{}
		var of2 atomic.Int64
		transport := discovery.NewTransport(next, resolver, &discovery.TransportOptions{
			Splitter: table,
			OnAttempt: func(a discovery.Attempt) {
				if a.Instance != nil && a.Instance.Version == "v2" {
					of2.Add(1)
				}
				ramper.Observe(a)
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://orders/orders", nil)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := transport.RoundTrip(req)
				if err == nil {
					resp.Body.Close()
				}
			}
		}()
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(100 * time.Millisecond):
				}
				if inUse, _ := table.InUse(); inUse[0].Binding.Shares != nil && inUse[0].Binding.Shares[0].Percent == 25 {
					next.failing.Store(true)
				}
			}
		}()
		err := ramper.Run(ctx, binding.Ramp{Service: "orders", Version: "v2", Pause: 20 * time.Second, MinRequests: 20})
		var found *binding.Regression
		if !errors.As(err, &found) || found.Percent != 25 {
			t.Errorf("the version fails from 25%% on: %v", err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		before := of2.Load()
		time.Sleep(10 * time.Second)
		if after := of2.Load(); after != before || before == 0 {
			t.Errorf("a version that was rolled back got %d requests more", after-before)
		}
		cancel()
		<-done
	})
}
