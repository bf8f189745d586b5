package rows

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/service/sqladapter"
	"github.com/goswale/swale/service/sqladapter/postgres"
)

func sqladapterRows() []ratio.Row {
	return []ratio.Row{
		{
			Name: "sqladapter.query.vs_plain", Unit: "x", Bound: ratio.AtMost(1.1),
			Note: "p50 of a query of PostgreSQL through the adapter, against a plain *sql.DB, both over pgx",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				dsn := os.Getenv("SWALE_TEST_POSTGRES")
				if dsn == "" {
					return nil, nil, fmt.Errorf("%w: SWALE_TEST_POSTGRES is not set", ratio.ErrSkipped)
				}
				return openSQLAdapter(ctx, dsn, postgres.Connector, 1)
			},
		},
		{
			Name: "sqladapter.query_memory.vs_plain", Unit: "x", Bound: ratio.AtMost(1.25),
			Note: "the same with a driver that answers from memory: what the adapter adds and nothing else",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				return openSQLAdapter(ctx, "memory:one", func(sqladapter.Config, sqladapter.Dial) (driver.Connector, error) { return memory{}, nil }, 100)
			},
		},
	}
}

// openSQLAdapter opens the same database plainly and by a configuration that a
// service gives. The round compares the medians of so many queries at a time.
func openSQLAdapter(ctx context.Context, dsn string, connect sqladapter.Connector, atOnce int) (round func() (float64, error), closer func(), err error) {
	var c closing
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	connector, err := connect(sqladapter.Config{URL: dsn, ConnectTimeout: configsvc.Duration(5 * time.Second)}, new(net.Dialer).DialContext)
	if err != nil {
		return nil, nil, err
	}
	plain := sql.OpenDB(connector)
	c.add(func() { _ = plain.Close() })
	url, _, err := serveConfig(ctx, nil, &c)
	if err != nil {
		return nil, nil, err
	}
	client, err := configsvc.NewClient(url, &configsvc.ClientOptions{
		Poll: time.Hour, EnvPrefix: "ROWS_", Environ: []string{"ROWS_URL=" + dsn},
	})
	if err != nil {
		return nil, nil, err
	}
	c.add(func() { _ = client.Close(context.WithoutCancel(ctx)) })
	adapted, err := sqladapter.Open(ctx, client, []string{"base"}, connect, nil)
	if err != nil {
		return nil, nil, err
	}
	c.add(func() { _ = adapted.Close() })
	return ratio.Quantile(0.5, 500, queryOne(ctx, adapted.DB, atOnce), queryOne(ctx, plain, atOnce)), c.close, nil
}

func queryOne(ctx context.Context, db *sql.DB, times int) ratio.Op {
	return func() error {
		for range times {
			var one int64
			if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
				return err
			}
		}
		return nil
	}
}

// memory is a driver whose answer to everything is 1.
type memory struct{}

func (memory) Connect(context.Context) (driver.Conn, error) { return memory{}, nil }
func (memory) Driver() driver.Driver                        { return memory{} }
func (memory) Open(string) (driver.Conn, error)             { return memory{}, nil }
func (memory) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (memory) Begin() (driver.Tx, error)                    { return nil, driver.ErrSkip }
func (memory) Close() error                                 { return nil }
func (memory) ResetSession(context.Context) error           { return nil }
func (memory) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &oneRow{}, nil
}

type oneRow struct{ given bool }

func (*oneRow) Columns() []string { return []string{"one"} }
func (*oneRow) Close() error      { return nil }
func (r *oneRow) Next(to []driver.Value) error {
	if r.given {
		return io.EOF
	}
	r.given, to[0] = true, int64(1)
	return nil
}
