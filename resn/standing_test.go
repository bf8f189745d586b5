package resn_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// hearing is a client that listens to a topic, and what it says.
func hearing(t *testing.T) (*bus.Bus, *resn.Client, *heardLog) {
	t.Helper()
	b, said := membus.New(nil), &heardLog{}
	client, err := resn.NewClient(b, &resn.ClientOptions{Logger: said.logger()})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Listen(t.Context(), "books"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close(context.Background())
		_ = b.Shutdown(context.Background())
	})
	return b, client, said
}

// wantLog wants each text in the log once, and nothing of the kind otherwise.
func wantLog(t *testing.T, said *heardLog, rule string, texts ...string) {
	t.Helper()
	got := said.String()
	for _, text := range texts {
		if strings.Count(got, text) != 1 {
			t.Errorf("%s: the log should say %q once:\n%s", rule, text, got)
		}
	}
	if n := strings.Count(got, "\n"); n != len(texts) {
		t.Errorf("%s: the log has %d lines, want %d:\n%s", rule, n, len(texts), got)
	}
}

func TestAnOwnerWithoutWatermarksIsSpokenOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, said := hearing(t)
		for range 3 {
			notice := resn.Event{Topic: "books", Type: resn.Update, Href: "https://api.example/books/1"}
			if err := b.Publish(t.Context(), "books", notice.CloudEvent("/books")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		wantLog(t, said, "nothing vouches, and nobody asks why",
			`msg="not vouched for" topic=books reason="no watermark yet" after=10s notices=3 remedy="the owner runs a relay with RelayOptions.Watermark`)
	})
}

func TestSilenceAndRecoveryAreSpokenOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, said := hearing(t)
		speak := func() {
			t.Helper()
			for range 60 { // longer than the first watermark is waited for
				mark := resn.Watermark{Topic: "books", Epoch: "e", Seq: 7, Time: time.Now()}
				if err := b.Publish(t.Context(), "books", mark.CloudEvent("/books")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(250 * time.Millisecond)
			}
		}
		speak()
		first := `msg="vouched for" topic=books epoch=e sequence=7`
		wantLog(t, said, "it is live", first)
		time.Sleep(time.Hour)
		silent := `msg="not vouched for" topic=books reason="no watermark within the lease"`
		wantLog(t, said, "no message tells of silence", first, silent)
		speak()
		if got := said.String(); strings.Count(got, first) != 2 || strings.Count(got, "\n") != 3 {
			t.Errorf("recovery is said once:\n%s", got)
		}
	})
}

func TestAClockThatIsWrongIsMeasured(t *testing.T) {
	for off, want := range map[time.Duration]string{
		time.Minute:  `reason="the owner's clock is ahead of ours by more than the tolerance: by 1m0s, and 500ms is tolerated"`,
		-time.Minute: `reason="the watermark is older than the lease of 2s: it is 1m0s old, if its owner's clock isn't behind ours"`,
	} {
		synctest.Test(t, func(t *testing.T) {
			b, client, said := hearing(t)
			for range 40 {
				mark := resn.Watermark{Topic: "books", Epoch: "e", Seq: 7, Time: time.Now().Add(off)}
				if err := b.Publish(t.Context(), "books", mark.CloudEvent("/books")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				time.Sleep(250 * time.Millisecond)
			}
			wantLog(t, said, "a clock that is off by "+off.String(), want)
			if reason := client.Topics()[0].Reason; !strings.Contains(want, reason) || reason == "" {
				t.Errorf("the state says %q", reason)
			}
		})
	}
}

// Programs close with the context whose end made them stop.
func TestClosingWithAnEndedContextCloses(t *testing.T) {
	for range 20 { // a select would choose rightly half the time
		synctest.Test(t, func(t *testing.T) {
			b, client, _ := hearing(t)
			ended, end := context.WithCancel(t.Context())
			end()
			_ = client.Close(ended)
			synctest.Wait()
			notice := resn.Event{Topic: "books", Type: resn.Update, Href: "https://api.example/books/1"}
			if err := b.Publish(t.Context(), "books", notice.CloudEvent("/books")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if state := client.Topics()[0]; state.Notices != 0 {
				t.Errorf("the subscription goes on after Close: %+v", state)
			}
		})
	}
}
