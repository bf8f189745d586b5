package rows

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/service/redisadapter"
)

func redisadapterRows() []ratio.Row {
	return []ratio.Row{{
		Name: "redisadapter.command.vs_plain", Unit: "x", Bound: ratio.AtMost(1.2),
		Note: "p50 of an EXISTS of Redis through the adapter, against a plain client of go-redis",
		Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			at := os.Getenv("SWALE_TEST_REDIS")
			if at == "" {
				return nil, nil, fmt.Errorf("%w: SWALE_TEST_REDIS is not set", ratio.ErrSkipped)
			}
			return openRedisAdapter(ctx, at)
		},
	}}
}

// openRedisAdapter connects with the same server plainly and by a configuration
// that a service gives.
func openRedisAdapter(ctx context.Context, at string) (round func() (float64, error), closer func(), err error) {
	var c closing
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	opts, err := redis.ParseURL(at)
	if err != nil {
		return nil, nil, err
	}
	plain := redis.NewClient(opts)
	c.add(func() { _ = plain.Close() })
	url, _, err := serveConfig(ctx, nil, &c)
	if err != nil {
		return nil, nil, err
	}
	client, err := configsvc.NewClient(url, &configsvc.ClientOptions{Poll: time.Hour, EnvPrefix: "ROWS_", Environ: []string{"ROWS_URL=" + at}})
	if err != nil {
		return nil, nil, err
	}
	c.add(func() { _ = client.Close(context.WithoutCancel(ctx)) })
	adapted, err := redisadapter.Open(ctx, client, []string{"base"}, nil)
	if err != nil {
		return nil, nil, err
	}
	c.add(func() { _ = adapted.Close() })
	get := func(r redis.UniversalClient) ratio.Op {
		return func() error { return r.Exists(ctx, "swale:rows:none").Err() }
	}
	return ratio.Quantile(0.5, 500, get(adapted), get(plain)), c.close, nil
}
