package rows

import (
	"context"
	"strconv"
	"time"

	"github.com/goswale/swale/benchmarks/internal/apart"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// openPair returns a writer's and a reader's connection to one NATS server.
func openPair(ctx context.Context, c *closing) (buses [2]*bus.Bus, err error) {
	url, stop, err := apart.NATS(ctx)
	if err != nil {
		return buses, err
	}
	c.add(stop)
	prefix := "rows" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for i := range buses {
		if buses[i], err = natsbus.Open(ctx, url, &natsbus.Options{Prefix: prefix}); err != nil {
			return buses, err
		}
		c.add(func() { _ = buses[i].Shutdown(context.WithoutCancel(ctx)) })
	}
	return buses, nil
}
