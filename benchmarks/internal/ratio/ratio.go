// Package ratio measures one thing against another in the same run. A figure
// that stands alone says more about the machine than about the code; a ratio
// of two things that took turns on it says which is faster.
//
// A [Row] measures a round at a time; [Run] takes several rounds and reports
// the median with its spread.
package ratio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Row is one figure.
type Row struct {
	Name  string // dotted, such as cache.hit.vs_gregjones
	Unit  string // what Value counts: "x" for a ratio, "ns", "allocs"
	Bound Bound
	Note  string // what is compared with what, in a line

	// Open prepares the row and returns the function that measures one
	// round. An error that wraps [ErrSkipped] skips the row.
	Open func(ctx context.Context) (round func() (float64, error), closer func(), err error)
}

// ErrSkipped is wrapped by errors of rows that can't be measured here, for
// example because a server is missing.
var ErrSkipped = errors.New("skipped")

// Bound is what a value is held to. The zero Bound, and only that, holds for every
// value.
type Bound struct {
	limit float64
	sign  string // "<=", ">=", or nothing
}

// AtMost returns the bound value ≤ limit.
func AtMost(limit float64) Bound { return Bound{limit, "<="} }

// AtLeast returns the bound value ≥ limit.
func AtLeast(limit float64) Bound { return Bound{limit, ">="} }

// Holds says whether v keeps the bound.
func (b Bound) Holds(v float64) bool {
	return b.sign == "" || b.sign == "<=" && v <= b.limit || b.sign == ">=" && v >= b.limit
}

func (b Bound) String() string {
	if b.sign == "" {
		return "-"
	}
	return fmt.Sprintf("%s%g", b.sign, b.limit)
}

// Result is what came of a row.
type Result struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"` // median of the rounds
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Rounds  int     `json:"rounds"`
	Unit    string  `json:"unit"`
	Bound   string  `json:"bound"`
	OK      bool    `json:"ok"`
	Skipped string  `json:"skipped,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// Run measures the row in so many rounds, at least five.
func Run(ctx context.Context, row Row, rounds int) Result {
	res := Result{Name: row.Name, Unit: row.Unit, Bound: row.Bound.String()}
	round, closer, err := row.Open(ctx)
	switch {
	case errors.Is(err, ErrSkipped):
		res.Skipped, res.OK = err.Error(), true
		return res
	case err != nil:
		res.Error = err.Error()
		return res
	}
	if closer != nil {
		defer closer()
	}
	values := make([]float64, 0, max(rounds, 5))
	for len(values) < cap(values) {
		if err := ctx.Err(); err != nil {
			res.Error = err.Error()
			return res
		}
		v, err := round()
		if err != nil {
			res.Error = err.Error()
			return res
		}
		values = append(values, v)
	}
	res.Value, res.Min, res.Max = Median(values), slices.Min(values), slices.Max(values)
	res.Rounds, res.OK = len(values), row.Bound.Holds(res.Value)
	return res
}

// Median returns the middle of values, which it leaves as they are; NaN of
// none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
