package rows

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// openPair returns a writer's and a reader's connection to one NATS server:
// that of SWALE_TEST_NATS, or one in this process, reached over TCP.
func openPair(ctx context.Context, c *closing) (buses [2]*bus.Bus, err error) {
	url := os.Getenv("SWALE_TEST_NATS")
	if url == "" {
		server, err := embedded.Start(ctx, nil)
		if err != nil {
			return buses, err
		}
		c.add(server.Shutdown)
		url = server.URL()
	}
	prefix := "rows" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for i := range buses {
		if buses[i], err = natsbus.Open(ctx, url, &natsbus.Options{Prefix: prefix}); err != nil {
			return buses, err
		}
		c.add(func() { _ = buses[i].Shutdown(context.WithoutCancel(ctx)) })
	}
	return buses, nil
}
