package store_test

import (
	"context"
	"fmt"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/store"
)

func Example() {
	ctx := context.Background()
	s := store.New(memconfig.New(), nil)
	for _, text := range []string{`{"pool":5}`, `{"pool":7}`} {
		value, err := configsvc.Parse([]byte(text))
		if err != nil {
			fmt.Println(err)
			return
		}
		commit, err := s.Write(ctx, store.Write{
			Author: "ada", Message: "try " + text,
			Edits: []store.Edit{{Key: "base", Value: value, Expect: store.Any}},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(commit.Revision, commit.Changes[0].Key, len(commit.Changes[0].Diff))
	}
	done, err := s.RollBack(ctx, store.Rollback{Author: "ada", Keys: []string{"base"}, To: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := s.Get(ctx, "base", 0)
	fmt.Println(done.Commit.Revision, d.Value, err)
	// Output:
	// 1 base 1
	// 2 base 1
	// 3 {"pool":5} <nil>
}
