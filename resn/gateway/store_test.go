package gateway_test

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
	_ "modernc.org/sqlite"

	"github.com/goswale/swale/resn/gateway"
	"github.com/goswale/swale/resn/gateway/sqlstore"
	"github.com/goswale/swale/resn/gateway/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) gateway.Store { return &gateway.MemoryStore{} })
}

func TestSQLStoreOnSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) gateway.Store { s, _ := onSQLite(t); return s })
}

func TestSQLStoreOnPostgreSQL(t *testing.T) {
	storetest.Run(t, onPostgreSQL)
}

// onSQLite returns a store and its file.
func onSQLite(t *testing.T) (*sqlstore.Store, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return migrated(t, db), file
}

// onPostgreSQL gives each test a schema of its own.
func onPostgreSQL(t *testing.T) gateway.Store {
	t.Helper()
	dsn := os.Getenv("SWALE_TEST_POSTGRES")
	if dsn == "" {
		const missing = "SWALE_TEST_POSTGRES is not set: needs the URL of a PostgreSQL database"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	open := func(dsn string) *sql.DB {
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	admin := open(dsn)
	schema := fmt.Sprintf("gateway_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE") })
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	return migrated(t, open(dsn+separator+"search_path="+schema))
}

func migrated(t *testing.T, db *sql.DB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it changes nothing
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestPrefixIsChecked(t *testing.T) {
	if _, err := sqlstore.New(nil, &sqlstore.Options{Prefix: "x; DROP TABLE y"}); err == nil {
		t.Error("a prefix that would need quoting is refused")
	}
}

// Neither tokens nor the credentials of callbacks can be read in the database,
// and none of them is ever shown again.
func TestSecretsAtRest(t *testing.T) {
	store, file := onSQLite(t)
	r := newRig(t, nil)
	opts := &gateway.Options{RootToken: root, Key: []byte("0123456789abcdef0123456789abcdef")}
	opts.Callbacks.Transport = r.calls
	g, err := gateway.Open(t.Context(), r.bus, store, opts)
	if err != nil {
		t.Fatal(err)
	}
	r.shut(r.g)
	r.g = g
	r.store = store
	defer r.shut(g)
	owner := r.token("owner")
	r.must(201, root, "POST", "/api_tokens", `{"name":"reader","token":"reader-0000-1111"}`)
	r.must(204, "reader-0000-1111", "POST", "/subscription", `{"topics":["widgets"],"callback":"https://app.example/","uuid":"delivery-secret","timeout":0}`)
	r.push(owner, "widgets", "https://api.example/widgets/1")
	r.eventually("it is delivered", func() bool { return g.Stats().Delivered == 1 })
	if user, _, _ := (&http0{r.calls.all()[0].header}).basic(); user != "delivery-secret" {
		t.Errorf("the callback gets its credential, got %q", user)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(data) + r.must(200, root, "GET", "/api_tokens", "").body + r.must(200, root, "GET", "/topics", "").body + r.must(200, root, "GET", "/subscriptions", "").body
	for _, secret := range []string{owner, "reader-0000-1111", "delivery-secret", root} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s can be read in the database or an answer", secret)
		}
	}
	// Another key opens nothing and says so.
	opts.Key = []byte("another key of 16 bytes or more")
	r.shut(g)
	other, err := gateway.Open(t.Context(), r.bus, store, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.shut(other)
	if a := call(other, owner, "GET", "/pulse", ""); a.status != 401 {
		t.Errorf("with another key a token is answered %d", a.status)
	}
	// What stands in the list can be used to revoke.
	r.g = other
	tokens, err := store.Tokens(t.Context())
	if err != nil || len(tokens) != 2 {
		t.Fatalf("%d tokens, %v", len(tokens), err)
	}
	for _, token := range tokens {
		r.must(204, root, "DELETE", "/api_tokens/"+token.ID, "")
	}
	r.must(204, root, "GET", "/api_tokens", "")
}
