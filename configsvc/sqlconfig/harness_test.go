package sqlconfig_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/goswale/swale/configsvc/configtest"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/sqlconfig"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimDSN) != "" {
		victim()
		return
	}
	goleak.VerifyTestMain(m)
}

// database is one that a test has for itself.
type database struct {
	sqlDriver, dsn string
	dialect        sqlconfig.Dialect
}

func onSQLite(t *testing.T) database {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)&_pragma=synchronous(NORMAL)"
	return database{"sqlite", dsn, sqlconfig.SQLite}
}

// onPostgres gives each test a schema of its own.
func onPostgres(t *testing.T) database {
	t.Helper()
	dsn := os.Getenv("SWALE_TEST_POSTGRES")
	if dsn == "" {
		const missing = "SWALE_TEST_POSTGRES is not set: needs the URL of a PostgreSQL database"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	admin, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	schema := fmt.Sprintf("config_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE") })
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	return database{"pgx", dsn + sep + "search_path=" + schema, sqlconfig.PostgreSQL}
}

func (on database) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(on.sqlDriver, on.dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(4)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (on database) driver(t *testing.T, opts *sqlconfig.Options) *sqlconfig.Driver {
	t.Helper()
	d := sqlconfig.New(on.open(t), on.dialect, opts)
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// everywhere runs a test on each database.
func everywhere(t *testing.T, test func(t *testing.T, on database)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, onSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, onPostgres(t)) })
}

func TestConformance(t *testing.T) {
	for name, on := range map[string]func(*testing.T) database{"SQLite": onSQLite, "PostgreSQL": onPostgres} {
		t.Run(name, func(t *testing.T) {
			configtest.Run(t, func(t *testing.T) configtest.Open {
				database := on(t)
				return func(t *testing.T) driver.Driver { return database.driver(t, nil) }
			})
		})
	}
}
