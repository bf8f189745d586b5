package apart

import (
	"context"

	"github.com/goswale/swale/bus/natsbus/embedded"
)

// NATS starts a server with JetStream on a loopback port, its files in a temporary
// folder, and returns its URL. stop ends it and waits for that.
func NATS(ctx context.Context) (url string, stop func(), err error) { return start(ctx, "nats", "") }

func serveNATS(ctx context.Context, _ string) (string, func(), error) {
	s, err := embedded.Start(ctx, nil)
	if err != nil {
		return "", nil, err
	}
	return s.URL(), s.Shutdown, nil
}
