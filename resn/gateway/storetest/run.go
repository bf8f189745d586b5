package storetest

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/resn/gateway"
)

// Open returns an empty store.
type Open = func(t *testing.T) gateway.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, check := range []struct {
		name string
		run  func(*testing.T, gateway.Store)
	}{
		{"Empty", testEmpty},
		{"Tokens", testTokens},
		{"RemoveToken", testRemoveToken},
		{"ClaimTopic", testClaimTopic},
		{"ClaimTopicOnce", testClaimTopicOnce},
		{"RemoveTopic", testRemoveTopic},
		{"Counts", testCounts},
		{"Subscriptions", testSubscriptions},
		{"LeaveTopic", testLeaveTopic},
		{"LeaveTopicAtOnce", testLeaveTopicAtOnce},
		{"Pause", testPause},
		{"SlicesAreCopies", testCopies},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, open(t)) })
	}
}

func must(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func wantMissing(t *testing.T, err error, what string) {
	t.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s of what isn't there is fs.ErrNotExist, got %v", what, err)
	}
}

func token(id string) gateway.Token {
	return gateway.Token{ID: id, Name: "client " + id, Hash: "hash of " + id, Created: time.UnixMilli(1_700_000_000_123).UTC()}
}

func subscription(id string, topics ...string) gateway.Subscription {
	return gateway.Subscription{
		Subscriber: id, Topics: topics, Callback: "https://app.example/" + id, Credential: "sealed",
		Deadline: 1500 * time.Millisecond, Max: 42, Format: gateway.CloudEventsBatch, Types: []string{"create", "delete"}, Rate: 7,
	}
}

func testEmpty(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	must(t, s.Ping(ctx), "Ping")
	_, err := s.TokenByHash(ctx, "nobody's")
	wantMissing(t, err, "TokenByHash")
	_, err = s.Topic(ctx, "none")
	wantMissing(t, err, "Topic")
	_, err = s.Subscription(ctx, "nobody")
	wantMissing(t, err, "Subscription")
	wantMissing(t, s.RemoveTopic(ctx, "none"), "RemoveTopic")
	wantMissing(t, s.RemoveSubscription(ctx, "nobody"), "RemoveSubscription")
	wantMissing(t, s.LeaveTopic(ctx, "nobody", "none"), "LeaveTopic")
	must(t, s.RemoveToken(ctx, "nobody"), "RemoveToken of what isn't there")
	must(t, s.CountEvents(ctx, "none", 1), "CountEvents of what isn't there")
	must(t, s.CountSent(ctx, "nobody", 1), "CountSent of what isn't there")
	must(t, s.PauseSubscription(ctx, "nobody", "x"), "PauseSubscription of what isn't there")
	tokens, err := s.Tokens(ctx)
	must(t, err, "Tokens")
	topics, err := s.Topics(ctx)
	must(t, err, "Topics")
	subs, err := s.Subscriptions(ctx)
	must(t, err, "Subscriptions")
	if len(tokens)+len(topics)+len(subs) != 0 {
		t.Errorf("an empty store is empty, got %v %v %v", tokens, topics, subs)
	}
}

func testTokens(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	must(t, s.AddToken(ctx, token("b")), "AddToken")
	must(t, s.AddToken(ctx, token("a")), "AddToken")
	again := token("c")
	again.Hash = token("a").Hash
	for what, bad := range map[string]gateway.Token{"hash": again, "ID": {ID: "a", Hash: "another"}} {
		if err := s.AddToken(ctx, bad); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second token of the same %s is fs.ErrExist, got %v", what, err)
		}
	}
	got, err := s.TokenByHash(ctx, "hash of a")
	must(t, err, "TokenByHash")
	if got != token("a") {
		t.Errorf("a token comes back as it was, got %+v", got)
	}
	all, err := s.Tokens(ctx)
	must(t, err, "Tokens")
	if want := []gateway.Token{token("a"), token("b")}; !reflect.DeepEqual(all, want) {
		t.Errorf("tokens come in the order of their IDs, got %+v", all)
	}
}

func testRemoveToken(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	must(t, s.AddToken(ctx, token("a")), "AddToken")
	must(t, s.PutSubscription(ctx, subscription("a", "x")), "PutSubscription")
	must(t, s.PutSubscription(ctx, subscription("b", "x")), "PutSubscription")
	_, err := s.ClaimTopic(ctx, "mine", "a")
	must(t, err, "ClaimTopic")
	_, err = s.ClaimTopic(ctx, "theirs", "b")
	must(t, err, "ClaimTopic")
	must(t, s.RemoveToken(ctx, "a"), "RemoveToken")
	_, err = s.TokenByHash(ctx, "hash of a")
	wantMissing(t, err, "a removed token")
	_, err = s.Subscription(ctx, "a")
	wantMissing(t, err, "the subscription of a removed token")
	_, err = s.Subscription(ctx, "b")
	must(t, err, "another's subscription")
	for name, want := range map[string]string{"mine": "", "theirs": "b"} {
		if got, err := s.Topic(ctx, name); err != nil || got.Owner != want {
			t.Errorf("after its owner's token went, topic %s has the owner %q, want %q (%v)", name, got.Owner, want, err)
		}
	}
}

func testClaimTopic(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	for _, step := range []struct{ owner, want, rule string }{
		{"", "", "an empty owner makes the topic and claims nothing"},
		{"a", "a", "who claims a topic of nobody owns it"},
		{"b", "a", "a topic that is owned can't be claimed"},
		{"", "a", "an empty owner takes nothing away"},
		{"a", "a", "claiming again is fine"},
	} {
		got, err := s.ClaimTopic(ctx, "widgets", step.owner)
		must(t, err, "ClaimTopic")
		if want := (gateway.Topic{Name: "widgets", Owner: step.want}); got != want {
			t.Errorf("%s: got %+v, want %+v", step.rule, got, want)
		}
	}
}

// testClaimTopicOnce has many claim the same topics at the same time.
func testClaimTopicOnce(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	const clients, topics = 8, 5
	for n := range topics {
		name := fmt.Sprintf("t%d", n)
		owners := make([]string, clients)
		errs := make([]error, clients)
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				got, err := s.ClaimTopic(ctx, name, fmt.Sprintf("client%d", i))
				owners[i], errs[i] = got.Owner, err
			})
		}
		wg.Wait()
		must(t, errors.Join(errs...), "ClaimTopic by many at once")
		for _, owner := range owners {
			if owner != owners[0] || owner == "" {
				t.Fatalf("of many who claim at once one gets the topic, and all are told so; they were told %v", owners)
			}
		}
	}
}

func testRemoveTopic(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	_, err := s.ClaimTopic(ctx, "widgets", "a")
	must(t, err, "ClaimTopic")
	must(t, s.PutSubscription(ctx, subscription("r", "gadgets", "widgets")), "PutSubscription")
	must(t, s.RemoveTopic(ctx, "widgets"), "RemoveTopic")
	_, err = s.Topic(ctx, "widgets")
	wantMissing(t, err, "a removed topic")
	got, err := s.Subscription(ctx, "r")
	must(t, err, "Subscription")
	if want := subscription("r", "gadgets"); !reflect.DeepEqual(got, want) {
		t.Errorf("a removed topic is in no subscription: got %+v, want %+v", got, want)
	}
	if got, err := s.ClaimTopic(ctx, "widgets", "b"); err != nil || got.Owner != "b" {
		t.Errorf("a removed topic can be claimed anew: %+v, %v", got, err)
	}
}

func testCounts(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	_, err := s.ClaimTopic(ctx, "widgets", "a")
	must(t, err, "ClaimTopic")
	must(t, s.PutSubscription(ctx, subscription("r", "widgets")), "PutSubscription")
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range 10 {
		wg.Go(func() { errs[i] = s.CountEvents(ctx, "widgets", 3) })
		wg.Go(func() { errs[10+i] = s.CountSent(ctx, "r", 2) })
	}
	wg.Wait()
	must(t, errors.Join(errs...), "counting")
	must(t, s.PutSubscription(ctx, subscription("r", "widgets", "x")), "PutSubscription")
	if got, err := s.Topic(ctx, "widgets"); err != nil || got.Events != 30 {
		t.Errorf("counts add up whoever counts: topic has %d events, want 30 (%v)", got.Events, err)
	}
	if got, err := s.Subscription(ctx, "r"); err != nil || got.Sent != 20 {
		t.Errorf("counts go on when the subscription changes: %d sent, want 20 (%v)", got.Sent, err)
	}
}

func testSubscriptions(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	must(t, s.PutSubscription(ctx, subscription("b", "x")), "PutSubscription")
	must(t, s.PutSubscription(ctx, subscription("a", "x")), "PutSubscription")
	changed := subscription("a", "y", "z")
	changed.Callback, changed.Deadline, changed.Max, changed.Format, changed.Types, changed.Rate = "https://b.example/", 0, 1, gateway.Routemaster, []string{"noop"}, 0
	must(t, s.PutSubscription(ctx, changed), "PutSubscription")
	all, err := s.Subscriptions(ctx)
	must(t, err, "Subscriptions")
	if want := []gateway.Subscription{changed, subscription("b", "x")}; !reflect.DeepEqual(all, want) {
		t.Errorf("subscriptions come in the order of subscribers, as they were put last:\n got %+v\nwant %+v", all, want)
	}
	must(t, s.RemoveSubscription(ctx, "a"), "RemoveSubscription")
	_, err = s.Subscription(ctx, "a")
	wantMissing(t, err, "a removed subscription")
}

func testLeaveTopic(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	must(t, s.PutSubscription(ctx, subscription("r", "x", "y")), "PutSubscription")
	wantMissing(t, s.LeaveTopic(ctx, "r", "z"), "LeaveTopic")
	must(t, s.LeaveTopic(ctx, "r", "x"), "LeaveTopic")
	wantMissing(t, s.LeaveTopic(ctx, "r", "x"), "LeaveTopic for the second time")
	got, err := s.Subscription(ctx, "r")
	must(t, err, "Subscription")
	if want := subscription("r", "y"); !reflect.DeepEqual(got, want) {
		t.Errorf("leaving a topic changes nothing else: got %+v, want %+v", got, want)
	}
}

// testLeaveTopicAtOnce has topics left at the same time.
func testLeaveTopicAtOnce(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	topics := []string{"a", "b", "c", "d", "e", "f"}
	must(t, s.PutSubscription(ctx, subscription("r", topics...)), "PutSubscription")
	errs := make([]error, 5)
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() { errs[i] = s.LeaveTopic(ctx, "r", topics[i]) })
	}
	wg.Wait()
	must(t, errors.Join(errs...), "LeaveTopic by many at once")
	if got, err := s.Subscription(ctx, "r"); err != nil || !reflect.DeepEqual(got.Topics, []string{"f"}) {
		t.Errorf("topics that are left at once are all left: %v, %v", got.Topics, err)
	}
}

func testPause(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	must(t, s.PutSubscription(ctx, subscription("r", "x")), "PutSubscription")
	must(t, s.PauseSubscription(ctx, "r", "gone"), "PauseSubscription")
	if got, err := s.Subscription(ctx, "r"); err != nil || got.Paused != "gone" {
		t.Errorf("the reason of a pause is kept: %+v, %v", got, err)
	}
	must(t, s.PutSubscription(ctx, subscription("r", "x")), "PutSubscription")
	if got, err := s.Subscription(ctx, "r"); err != nil || got.Paused != "" {
		t.Errorf("subscribing anew ends the pause: %+v, %v", got, err)
	}
}

func testCopies(t *testing.T, s gateway.Store) {
	ctx := t.Context()
	put := subscription("r", "x", "y")
	must(t, s.PutSubscription(ctx, put), "PutSubscription")
	put.Topics[0] = "changed"
	got, err := s.Subscription(ctx, "r")
	must(t, err, "Subscription")
	got.Topics[1], got.Types[0] = "changed", "changed"
	got, err = s.Subscription(ctx, "r")
	must(t, err, "Subscription")
	if want := subscription("r", "x", "y"); !reflect.DeepEqual(got, want) {
		t.Errorf("slices that go in or come out are the caller's: got %+v", got)
	}
}
