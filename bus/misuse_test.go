package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

// A handler that is missing would fail with every event, far from who forgot it.
func TestSubscribingWithoutAHandlerIsRefused(t *testing.T) {
	b := membus.New(nil)
	ctx := t.Context()
	_, group := b.Group(ctx, "orders", "kitchen", nil, nil)
	_, serve := b.Serve(ctx, "orders", "kitchen", nil, nil)
	_, questions := b.Questions(ctx, "orders", "kitchen", nil, nil)
	for what, err := range map[string]error{"Group": group, "Serve": serve, "Questions": questions} {
		if err == nil || !strings.HasSuffix(err.Error(), "the handler is nil") {
			t.Errorf("%s without a handler: %v", what, err)
		}
	}
	if err := b.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	err := b.Publish(context.Background(), "orders", bus.Event{Type: "order.placed"})
	if !errors.Is(err, bus.ErrClosed) || !strings.Contains(err.Error(), "the bus was shut down") {
		t.Errorf("after Shutdown: %v", err)
	}
}
