package sqlauth_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crypto/rand"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/goswale/swale/auth/authtest"
	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/sqlauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table returns a name that no other test has.
func table() string {
	return "t_" + strings.Map(func(r rune) rune {
		if r >= '2' && r <= '7' {
			return 'q' + r - '2'
		}
		return r
	}, strings.ToLower(rand.Text()[:16]))
}

func sqlite(t *testing.T) *sql.DB {
	t.Helper()
	return open(t, "sqlite", sqliteDSN(filepath.Join(t.TempDir(), "auth.db")))
}

func sqliteDSN(file string) string {
	return "file:" + file + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(NORMAL)"
}

func postgres(t *testing.T) *sql.DB {
	t.Helper()
	dsn := os.Getenv("SWALE_TEST_POSTGRES")
	if dsn == "" {
		const missing = "SWALE_TEST_POSTGRES is not set: needs the URL of a PostgreSQL database"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return open(t, "pgx", dsn)
}

func open(t *testing.T, driverName, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driverName, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newStore(t *testing.T, db *sql.DB, opts sqlauth.Options) *sqlauth.Store {
	t.Helper()
	opts.Table = table()
	s, err := sqlauth.New(db, &opts)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's has ended
		_, _ = db.ExecContext(ctx, "DROP TABLE "+opts.Table+"_key")
		_, _ = db.ExecContext(ctx, "DROP TABLE "+opts.Table+"_record")
	})
	return s
}

func TestConformance(t *testing.T) {
	for name, db := range map[string]func(*testing.T) *sql.DB{"SQLite": sqlite, "PostgreSQL": postgres} {
		t.Run(name, func(t *testing.T) {
			db := db(t)
			authtest.Run(t, func(t *testing.T) driver.Store { return newStore(t, db, sqlauth.Options{}) })
		})
	}
}

func TestTableNamesAreChecked(t *testing.T) {
	if _, err := sqlauth.New(new(sql.DB), &sqlauth.Options{Table: "auth; DROP TABLE x"}); err == nil || !strings.Contains(err.Error(), "DROP TABLE") {
		t.Errorf("a table's name that is a statement: %v", err)
	}
}
