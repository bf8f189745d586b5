package kernel_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/reference-services/kernel"
	"github.com/goswale/swale/resn"
)

// Kernels with one directory relay its databases together. One with another, by
// mistake, knows nothing of their changes, and would vouch for them all the same.
func TestOneDirectoryOwnsTheTopics(t *testing.T) {
	broker := membus.NewBroker()
	run := func(dir string) <-chan error {
		b := broker.Connect(nil)
		k, err := kernel.New(t.Context(), b, &kernel.Options{
			BaseURL: "http://127.0.0.1:1", Dir: dir, Registry: memdiscovery.NewStore().Driver(nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended, done := make(chan error, 1), make(chan struct{})
		go func() {
			defer close(done)
			ended <- k.Run(ctx)
		}()
		t.Cleanup(func() {
			stop()
			<-done
			ctx := context.WithoutCancel(t.Context())
			if err := errors.Join(k.Close(ctx), b.Shutdown(ctx)); err != nil {
				t.Error(err)
			}
		})
		return ended
	}
	dir := t.TempDir()
	first := run(dir)
	watch := broker.Connect(nil)
	defer func() { _ = watch.Shutdown(context.Background()) }()
	client, err := resn.NewClient(watch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close(context.Background()) }()
	if err := client.Listen(t.Context(), kernel.SessionsTopic); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); !client.Topics()[0].Live; {
		if time.Since(began) > time.Minute {
			t.Fatal("nobody relays the sessions")
		}
		select {
		case err := <-first:
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	stranger := run(t.TempDir())
	select {
	case err := <-stranger:
		if !errors.Is(err, resn.ErrOwned) {
			t.Errorf("a kernel with other databases is refused: %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("a kernel with other databases publishes the same topics")
	}
	select {
	case err := <-first:
		t.Errorf("the first is disturbed: %v", err)
	default:
	}
	name := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "kernel.owner"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := name()
	run(dir)
	if after := name(); after != before || after == "" {
		t.Errorf("kernels of one directory are one owner: %q, then %q", before, after)
	}
}
