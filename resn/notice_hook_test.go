package resn_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// Whoever keeps other state than a cache hears of every notice once and in
// order, and of what was missed before the notice that showed it.
func TestListenerTellsOfNoticesAndLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(nil)
		var heard []string
		client, err := resn.NewClient(b, &resn.ClientOptions{Transport: &owner{}, Listener: &resn.ListenerOptions{
			OnNotice: func(e resn.Event) { heard = append(heard, e.Type+" "+e.Href) },
			OnMissed: func(topic, reason string) { heard = append(heard, "missed "+topic+": "+reason) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Shutdown(t.Context()) }()
		defer func() { _ = client.Close(t.Context()) }()
		if err := client.Listen(t.Context(), "sessions"); err != nil {
			t.Fatal(err)
		}
		publish := func(seq uint64, kind, path string) {
			t.Helper()
			e := resn.Event{Topic: "sessions", Type: kind, Href: "https://login.example" + path, Epoch: "e", Seq: seq}
			if err := b.Publish(t.Context(), "sessions", e.CloudEvent("/login")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		publish(1, resn.Create, "/a")
		publish(1, resn.Create, "/a") // a bus delivers at least once
		publish(2, resn.Noop, "/a")
		publish(4, resn.Delete, "/a")
		want := []string{
			"create https://login.example/a", "noop https://login.example/a",
			"missed sessions: a notice is missing", "delete https://login.example/a",
		}
		if diff := cmp.Diff(want, heard); diff != "" {
			t.Error(diff)
		}
	})
}
