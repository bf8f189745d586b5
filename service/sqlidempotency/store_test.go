package sqlidempotency_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/idempotencytest"
	"github.com/goswale/swale/service/sqlidempotency"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database opens the same database as often as it is called.
type database func(t *testing.T) *sql.DB

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// each runs a test on both databases, with a table of its own.
func each(t *testing.T, test func(t *testing.T, open database, table string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "test.db")
		test(t, func(t *testing.T) *sql.DB {
			t.Helper()
			return open(t, "sqlite", "file:"+file+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
		}, "keys")
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := os.Getenv("SWALE_TEST_POSTGRES")
		if dsn == "" {
			const missing = "SWALE_TEST_POSTGRES is not set: needs the URL of a PostgreSQL database"
			if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") != "" {
				t.Fatal(missing)
			}
			t.Skip(missing)
		}
		table := "t_" + strings.ToLower(rand.Text())
		db := open(t, "pgx", dsn)
		t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+table) })
		test(t, func(t *testing.T) *sql.DB {
			t.Helper()
			return open(t, "pgx", dsn)
		}, table)
	})
}

// clock is one that a test sets.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(1_800_000_000_000 + c.past.Load()) }

func (c *clock) advance(d time.Duration) { c.past.Add(d.Milliseconds()) }

func store(t *testing.T, db *sql.DB, opts sqlidempotency.Options) *sqlidempotency.Store {
	t.Helper()
	s := sqlidempotency.New(db, &opts)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, open database, table string) {
		t.Helper()
		n := 0
		idempotencytest.Run(t, func(t *testing.T) *idempotencytest.Subject {
			t.Helper()
			n++
			c, own := new(clock), fmt.Sprint(table, n)
			db := open(t)
			t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+own) })
			again := func() service.IdempotencyStore {
				return store(t, open(t), sqlidempotency.Options{Table: own, Now: c.now})
			}
			return &idempotencytest.Subject{Store: store(t, db, sqlidempotency.Options{Table: own, Now: c.now}), Advance: c.advance, Again: again}
		})
	})
}

// A request that is sent again after a restart is answered as the first one was.
func TestAReplayAfterARestart(t *testing.T) {
	each(t, func(t *testing.T, open database, table string) {
		t.Helper()
		orders := 0
		send := func(db *sql.DB, body string) *httptest.ResponseRecorder {
			h := service.Idempotent(store(t, db, sqlidempotency.Options{Table: table}), nil)(
				http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					orders++
					w.Header().Set("Location", fmt.Sprintf("/orders/%d", orders))
					w.WriteHeader(http.StatusCreated)
				}))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(body))
			r.Header.Set(service.IdempotencyKeyHeader, `"8e03978e"`)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		first := open(t)
		send(first, "tea")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		w := send(open(t), "tea")
		if w.Code != 201 || w.Header().Get("Location") != "/orders/1" || w.Header().Get("Idempotent-Replayed") != "true" || orders != 1 {
			t.Errorf("after a restart: %d %v, %d orders", w.Code, w.Header(), orders)
		}
		if w := send(open(t), "coffee"); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("with another payload: %d", w.Code)
		}
	})
}

// What is over is deleted, what isn't stays.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, open database, table string) {
		t.Helper()
		var c clock
		db := open(t)
		s := store(t, db, sqlidempotency.Options{Table: table, Now: c.now, SweepEvery: time.Second})
		begin := func(key string, lease time.Duration) {
			t.Helper()
			if _, err := s.Begin(t.Context(), service.Claim{Key: key, Token: key}, lease); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 5 {
			begin(fmt.Sprint(i), time.Minute)
		}
		begin("long", time.Hour)
		c.advance(time.Minute)
		begin("last", time.Minute)
		var rows int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows); err != nil || rows != 2 {
			t.Errorf("%d rows, %v; those of the long claim and of the last one are left", rows, err)
		}
	})
}

func TestProcessesThatStartTogether(t *testing.T) {
	each(t, func(t *testing.T, open database, table string) {
		t.Helper()
		var wg sync.WaitGroup
		together := make(chan struct{})
		for range 8 {
			db := open(t)
			if err := db.PingContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				<-together
				if err := sqlidempotency.New(db, &sqlidempotency.Options{Table: table}).Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		close(together)
		wg.Wait()
	})
}

// Where it can't be found out whether a request was answered, nothing is done.
func TestADatabaseThatIsGone(t *testing.T) {
	each(t, func(t *testing.T, open database, table string) {
		t.Helper()
		db := open(t)
		s := store(t, db, sqlidempotency.Options{Table: table})
		_ = db.Close()
		c := service.Claim{Key: "k", Token: "1"}
		if _, err := s.Begin(t.Context(), c, time.Minute); err == nil || !strings.Contains(err.Error(), "claim a key") {
			t.Errorf("Begin returned %v", err)
		}
		if s.Finish(t.Context(), c, service.Answer{}, time.Minute) == nil || s.Drop(t.Context(), c) == nil || s.Migrate(t.Context()) == nil {
			t.Error("a failure must be told")
		}
	})
}
