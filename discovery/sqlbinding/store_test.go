package sqlbinding_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/binding/bindingtest"
	"github.com/goswale/swale/discovery/sqlbinding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, name, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(4)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func onSQLite(t *testing.T) (name, dsn string) {
	t.Helper()
	return "sqlite", "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)"
}

// onPostgres gives each test a schema of its own.
func onPostgres(t *testing.T) (name, dsn string) {
	t.Helper()
	dsn = os.Getenv("SWALE_TEST_POSTGRES")
	if dsn == "" {
		const missing = "SWALE_TEST_POSTGRES is not set: needs the URL of a PostgreSQL database"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	admin := open(t, "pgx", dsn)
	schema := fmt.Sprintf("binding_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE") })
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	return "pgx", dsn + sep + "search_path=" + schema
}

func store(t *testing.T, db *sql.DB) *sqlbinding.Store {
	t.Helper()
	s := sqlbinding.New(db, nil)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for name, on := range map[string]func(*testing.T) (string, string){"SQLite": onSQLite, "PostgreSQL": onPostgres} {
		t.Run(name, func(t *testing.T) {
			bindingtest.Run(t, func(t *testing.T) binding.Store {
				driver, dsn := on(t)
				return store(t, open(t, driver, dsn))
			})
		})
	}
}

// Processes that start together, and work together.
func TestProcessesMeet(t *testing.T) {
	for name, on := range map[string]func(*testing.T) (string, string){"SQLite": onSQLite, "PostgreSQL": onPostgres} {
		t.Run(name, func(t *testing.T) {
			driver, dsn := on(t)
			stores := make([]*sqlbinding.Store, 4)
			var group sync.WaitGroup
			for i := range stores {
				db := open(t, driver, dsn)
				stores[i] = sqlbinding.New(db, nil)
				group.Go(func() {
					if err := stores[i].Migrate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			for i, s := range stores {
				group.Go(func() {
					r := binding.Revision{Service: "orders", Binding: &binding.Binding{Service: "orders", Rest: fmt.Sprint("v", i)}, Author: "ada", At: time.Now()}
					for range 5 {
						if _, err := s.Put(t.Context(), r, binding.Latest); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
			revs, err := stores[0].History(t.Context(), "orders", 100)
			if err != nil || len(revs) != 20 {
				t.Fatalf("%d of 20 writes are kept: %v", len(revs), err)
			}
			for i, r := range revs {
				if r.Number != uint64(20-i) {
					t.Errorf("revisions are numbered without a hole: %d at %d", r.Number, i)
				}
			}
		})
	}
}

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "bindings")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bindings.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		fmt.Println(err)
		return
	}
	store := sqlbinding.New(db, nil)
	fmt.Println(store.Migrate(ctx))
	table := binding.NewTable(store, nil)
	rev, err := table.Put(ctx, binding.Binding{Service: "orders", Rest: "v1"}, binding.Change{Author: "ada"})
	fmt.Println(rev.Number, err)
	fmt.Println(table.Close(ctx), db.Close())
	// Output:
	// <nil>
	// 1 <nil>
	// <nil> <nil>
}
