package liveops_test

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
	"github.com/goswale/swale/reference-services/liveops"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/resn"
)

// The environment of a process that is there to be killed.
const (
	childVariable = "SWALE_LIVEOPS_NATS"
	fileVariable  = "SWALE_LIVEOPS_FILE"
	ownerVariable = "SWALE_LIVEOPS_OWNER"
)

const atOnce = `{"rules":[{"id":"wasted","kind":"wasted-ride","steps":[{"after":"0s","severity":"warning"}]}]}`

// child is the process that is there to be killed.
func child() error {
	ctx := context.Background()
	b, err := natsbus.Open(ctx, os.Getenv(childVariable), &natsbus.Options{PinTTL: 2 * time.Second})
	if err != nil {
		return err
	}
	db, err := restaurants.OpenDB(os.Getenv(fileVariable))
	if err != nil {
		return err
	}
	client, err := resn.NewClient(b, nil)
	if err != nil {
		return err
	}
	owner := os.Getenv(ownerVariable) + "/"
	s, err := liveops.New(ctx, db, b, client, &liveops.Options{BaseURL: liveAt, Orders: owner, Riders: owner})
	if err != nil {
		return err
	}
	if err := s.Load([]byte(atOnce)); err != nil {
		return err
	}
	return s.Run(ctx) // until it is killed
}

// The process is killed when it has read the order and asks for its rider, before
// anything is written. Neither a walk nor a deadline leads to the order again: it is
// cancelled, and was never under watch. Only the notice does, which nobody has
// acknowledged.
func TestAKillBetweenReadingAndWritingLosesNoIssue(t *testing.T) {
	if testing.Short() {
		t.Skip("the bus takes half a minute until it gives a notice to the next process")
	}
	server, err := embedded.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	b, err := natsbus.Open(t.Context(), server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	city := newCity()
	owner := httptest.NewServer(city)
	t.Cleanup(owner.Close)
	city.base = map[string]string{"orders": owner.URL, "riders": owner.URL}
	pub, err := resn.NewPublisher(b, "orders", &resn.PublisherOptions{Unowned: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pub.Close(context.Background()) })

	const rider = "/not-in-the-list/ann"
	city.set(rider, map[string]any{"status": "busy", "_links": links("order", owner.URL+"/o/1")})
	asked, goOn := make(chan struct{}), make(chan struct{})
	city.hold(rider, func() {
		close(asked)
		<-goOn
	})
	file := filepath.Join(t.TempDir(), "live.db")
	launch := func() (kill func()) {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childVariable+"="+server.URL(), fileVariable+"="+file, ownerVariable+"="+owner.URL)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill = sync.OnceFunc(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		})
		t.Cleanup(kill)
		return kill
	}
	issues := func() int { return (&rig{t: t, file: file}).query(`SELECT count(*) FROM issues WHERE resolved_at = 0`) }

	kill := launch()
	eventually(t, "it has joined its groups and walks", func() bool { return city.questions("/open-ones") > 0 })
	err = pub.Change(t.Context(), owner.URL+"/o/1", func(context.Context) (string, string, error) {
		kind, etag := city.set("/o/1", map[string]any{
			"status": "cancelled", "cancelled_at": time.Now().UTC().Format(time.RFC3339), "_links": links("rider", owner.URL+rider),
		})
		return kind, etag, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	kill()
	close(goOn)
	if n := issues(); n != 0 {
		t.Fatalf("%d issues are written already, so the kill proves nothing", n)
	}
	city.hold(rider, nil)
	launch()
	eventually(t, "the next process opens the issue", func() bool { return issues() == 1 })
}
