package sqlauth_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/sqlauth"
)

// Accounts in an SQLite file.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "login")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "login.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	store, err := sqlauth.New(db, nil)
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	service, err := login.New(store, &login.Options{
		Issuer:        "https://login.example",
		Applications:  map[string]login.Application{"staff": {}},
		KeyEncryption: [][]byte{make([]byte, 32)}, // from the environment
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	account, err := service.CreateAccount(ctx, "staff", "ada", "correct horse battery", "editor")
	fmt.Println(account.Name, account.Roles, err)
	// Output: ada [editor] <nil>
}
