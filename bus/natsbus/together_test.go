package natsbus_test

import (
	"sync"
	"testing"

	"github.com/goswale/swale/bus/natsbus"
)

// TestManyOpenAtOnce starts the instances of a service together on servers
// that have none of their streams yet, as a first deployment does.
func TestManyOpenAtOnce(t *testing.T) {
	many := func(t *testing.T, url string) {
		t.Helper()
		for range 5 {
			prefix := testPrefix(t, url)
			var wg sync.WaitGroup
			gate := make(chan struct{})
			for range 16 {
				wg.Go(func() {
					<-gate
					b, err := natsbus.Open(unhurried(t), url, &natsbus.Options{Prefix: prefix})
					if err != nil {
						t.Errorf("one of many that start at once: %v", err)
						return
					}
					if err := b.Shutdown(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			close(gate)
			wg.Wait()
		}
	}
	t.Run("embedded", func(t *testing.T) { many(t, startServer(t, nil).URL()) })
	t.Run("server", func(t *testing.T) { many(t, serverURL(t)) })
}
