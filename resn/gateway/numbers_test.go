package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/resn"
)

// An owner with an outbox numbers its notices. Who gets them as CloudEvents gets
// the numbers too, and can see what is missing; Routemaster's format has no room
// for them.
func TestNumbersReachCloudEventsCallbacks(t *testing.T) {
	for format, fields := range map[string][]string{
		"cloudevents-batch":      {`"sequence":"00000000000000000007"`, `"epoch":"one"`, `"topic":"restaurants"`, `"etag":"\"v7\""`},
		"cloudevents-structured": {`"sequence":"00000000000000000007"`, `"epoch":"one"`, `"topic":"restaurants"`, `"etag":"\"v7\""`},
		"cloudevents-binary":     {"ce-sequence: 00000000000000000007", "ce-epoch: one", "ce-topic: restaurants", "ce-etag: %22v7%22"},
		"routemaster":            {`[{"topic":"restaurants","type":"update","url":"https://api.example/1","t":1479719100123}]`},
	} {
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.calls.set(always(204, "WebHook-Allowed-Origin", "*"))
				r.subscribe(r.token("reader"), "restaurants", `,"format":"`+format+`"`)
				notice := resn.Event{Topic: "restaurants", Type: resn.Update, Href: "https://api.example/1", ETag: `"v7"`,
					Time: time.UnixMilli(1479719100123), Seq: 7, Epoch: "one"}
				mark := resn.Watermark{Topic: "restaurants", Epoch: "one", Seq: 7, Time: time.Now()}
				if err := r.bus.Publish(t.Context(), "restaurants", notice.CloudEvent("/restaurants"), mark.CloudEvent("/restaurants")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				var got []string
				for _, q := range r.calls.all() {
					if q.method != "POST" {
						continue
					}
					text := q.body
					for name, values := range q.header {
						text += fmt.Sprintf("\n%s: %s", strings.ToLower(name), values[0])
					}
					got = append(got, text)
				}
				if len(got) != 1 {
					t.Fatalf("one notice is one request, and a watermark none: %q", got)
				}
				for _, field := range fields {
					if !strings.Contains(got[0], field) {
						t.Errorf("%s is missing in %s", field, got[0])
					}
				}
			})
		})
	}
}
