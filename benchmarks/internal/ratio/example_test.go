package ratio_test

import (
	"context"
	"fmt"

	"github.com/goswale/swale/benchmarks/internal/ratio"
)

// A row measures a round at a time; what is reported is the median, held to a
// bound.
func ExampleRun() {
	rounds := []float64{0.09, 0.31, 0.08, 0.07, 0.10}
	row := ratio.Row{
		Name: "cache.hit.vs_rival", Unit: "x", Bound: ratio.AtMost(0.1),
		Open: func(context.Context) (func() (float64, error), func(), error) {
			i := -1
			return func() (float64, error) { i++; return rounds[i], nil }, nil, nil
		},
	}
	res := ratio.Run(context.Background(), row, len(rounds))
	fmt.Println(res.Name, res.Value, res.Unit, res.Bound, res.OK)
	// Output: cache.hit.vs_rival 0.09 x <=0.1 true
}
