package sqlconfig_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/sqlconfig"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "config.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()

	d := sqlconfig.New(db, sqlconfig.SQLite, nil)
	if err := d.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	c, err := d.Commit(ctx, driver.Commit{Author: "ada", Message: "begin", Time: time.Now(), Edits: []driver.Edit{
		{Key: "base", Value: []byte(`{"pool":5}`), Expect: driver.Absent},
	}})
	fmt.Println(c.Revision, err)
	// Output: 1 <nil>
}
