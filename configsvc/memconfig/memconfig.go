// Package memconfig keeps configuration in memory: for tests, examples, and
// programs that write their own at every start.
//
//	s := store.New(memconfig.New(), nil)
//
// It passes the same conformance suite as every other driver, and is the model
// that they are measured by. What is committed is as durable as the process.
package memconfig

import (
	"context"
	"time"

	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/driver/replay"
)

// New returns an empty driver.
func New() *Driver { return &Driver{} }

// Driver is a driver. It is safe for concurrent use.
type Driver struct{ log replay.Log }

// Info implements driver.Driver.
func (d *Driver) Info() driver.Info { return driver.Info{Name: "memory"} }

// Commit implements driver.Driver.
func (d *Driver) Commit(ctx context.Context, c driver.Commit) (driver.Commit, error) {
	if err := ctx.Err(); err != nil {
		return c, err
	}
	return d.log.Commit(c)
}

// Read implements driver.Driver.
func (d *Driver) Read(ctx context.Context, keys []string, at int64) (driver.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return driver.Snapshot{}, err
	}
	return d.log.Read(keys, at)
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context, l driver.Listing) (driver.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return driver.Snapshot{}, err
	}
	return d.log.List(l)
}

// Log implements driver.Driver.
func (d *Driver) Log(ctx context.Context, q driver.Query) ([]driver.Commit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return d.log.Log(q)
}

// Moment implements driver.Driver.
func (d *Driver) Moment(ctx context.Context, t time.Time) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return d.log.Moment(t)
}
