package redisadapter

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// generation is the client of one configuration, closed when nobody uses it any
// more.
type generation struct {
	config Config
	opts   *redis.Options
	client *redis.Client
	since  time.Time
	end    *time.Timer

	uses atomic.Int64 // and retired, once it is
	once sync.Once
}

// retired is more than there can be uses.
const retired = 1 << 40

// enter says that the client is used, or returns false when it is too late.
func (g *generation) enter() bool {
	if g.uses.Add(1) < retired {
		return true
	}
	g.leave()
	return false
}

func (g *generation) leave() {
	if g.uses.Add(-1) == retired {
		g.close()
	}
}

// retire has it closed once it isn't used.
func (g *generation) retire() {
	if g.uses.Add(retired) == retired {
		g.close()
	}
}

// open is by how many it is used.
func (g *generation) open() int64 { return g.uses.Load() % retired }

// close closes the client, whoever uses it.
func (g *generation) close() { g.once.Do(func() { _ = g.client.Close() }) }
