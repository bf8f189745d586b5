package repotest_test

import (
	"fmt"
	"testing/fstest"

	"github.com/goswale/swale/internal/repotest"
)

func Example() {
	tree, err := repotest.Load(fstest.MapFS{
		"go.work":    file("go 1.26.0\n\nuse ./hal\n"),
		"hal/go.mod": file("module example.org/hal\n\nreplace example.org/x => ../x\n"),
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range repotest.NoReplace(tree) {
		fmt.Println(f)
	}
	// Output:
	// hal/go.mod: replaces example.org/x: map it in go.work instead (`go run ./tools/cmd/release tidy hal` leaves none)
}
