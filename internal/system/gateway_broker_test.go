package system

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/resn/gateway"
)

// pushes is a callback that counts how often each url came.
type pushes struct {
	mu   sync.Mutex
	down bool
	by   map[string]int
}

func (p *pushes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var batch []struct{ URL string }
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, e := range batch {
		p.by[e.URL]++
	}
	w.WriteHeader(http.StatusNoContent)
}

func (p *pushes) set(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *pushes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.by)
}

// TestGatewayOnBrokers has a real broker keep the push gateway's queues: events
// wait there while the callback is down, another gateway takes them over, and
// unsubscribing takes the queue away.
func TestGatewayOnBrokers(t *testing.T) {
	for _, p := range products {
		t.Run(p.name, func(t *testing.T) {
			server := p.server(t)
			prefix := p.prefix(t, server)
			callback := &pushes{by: map[string]int{}}
			app := httptest.NewServer(callback)
			defer app.Close()
			store := &gateway.MemoryStore{}
			open := func() (*gateway.Gateway, func()) {
				b, err := p.open(t.Context(), server, prefix)
				if err != nil {
					t.Fatal(err)
				}
				g, err := gateway.Open(t.Context(), b, store, &gateway.Options{RootToken: "root-token", Callbacks: gateway.CallbackOptions{
					AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
				}})
				if err != nil {
					t.Fatal(err)
				}
				return g, sync.OnceFunc(func() {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					if err := g.Shutdown(ctx); err != nil {
						t.Errorf("Shutdown: %v", err)
					}
					_ = b.Shutdown(ctx)
				})
			}
			ask := func(g *gateway.Gateway, token, method, path, body string, status int) string {
				t.Helper()
				req := httptest.NewRequest(method, path, strings.NewReader(body))
				req.SetBasicAuth(token, "x")
				rec := httptest.NewRecorder()
				g.ServeHTTP(rec, req)
				if rec.Code != status {
					t.Fatalf("%s %s: %d %s, want %d", method, path, rec.Code, rec.Body, status)
				}
				return rec.Body.String()
			}
			push := func(g *gateway.Gateway, from, to int) {
				t.Helper()
				for n := from; n < to; n++ {
					ask(g, "owner-token", "POST", "/topics/widgets", fmt.Sprintf(`{"type":"update","url":"https://api.example/widgets/%d"}`, n), 200)
				}
			}
			await := func(what string, n int) {
				t.Helper()
				for limit := time.After(patience); callback.count() != n; {
					select {
					case <-time.After(5 * time.Millisecond):
					case <-limit:
						t.Fatalf("%s: %d of %d events came", what, callback.count(), n)
					}
				}
			}

			first, endFirst := open()
			defer endFirst()
			ask(first, "root-token", "POST", "/api_tokens", `{"name":"owner","token":"owner-token"}`, 201)
			ask(first, "root-token", "POST", "/api_tokens", `{"name":"reader","token":"reader-token"}`, 201)
			subscription := `{"topics":["widgets"],"callback":"` + app.URL + `","timeout":20,"max":50}`
			ask(first, "reader-token", "POST", "/subscription", subscription, 204)
			push(first, 0, 100)
			await("on a good day", 100)

			callback.set(true)
			push(first, 100, 300)
			// Brokers count a moment after they have confirmed.
			for limit := time.Now().Add(patience); ; {
				list := ask(first, "reader-token", "GET", "/subscriptions", "", 200)
				if strings.Contains(list, `"queued":200`) {
					break
				}
				if time.Now().After(limit) {
					t.Fatalf("the broker keeps what the callback doesn't take: %s", list)
				}
				<-time.After(5 * time.Millisecond)
			}
			second, endSecond := open()
			defer endSecond()
			callback.set(false)
			endFirst()
			await("after another gateway took over", 300)

			ask(second, "reader-token", "DELETE", "/subscriber", "", 204)
			push(second, 300, 320)
			ask(second, "reader-token", "POST", "/subscription", subscription, 204)
			push(second, 320, 330)
			await("after subscribing anew", 310)
			ask(second, "reader-token", "DELETE", "/subscriber", "", 204)
			callback.mu.Lock()
			defer callback.mu.Unlock()
			for n := 300; n < 320; n++ {
				if callback.by[fmt.Sprintf("https://api.example/widgets/%d", n)] != 0 {
					t.Fatalf("event %d came, which was pushed while nobody was subscribed", n)
				}
			}
		})
	}
}
