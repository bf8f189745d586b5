package ratio

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestRunReportsTheMedianAndHoldsItToTheBound(t *testing.T) {
	values := []float64{9, 1, 3, 2, 8}
	open := func(context.Context) (func() (float64, error), func(), error) {
		i := 0
		return func() (float64, error) { i++; return values[i-1], nil }, nil, nil
	}
	row := Row{Name: "a.b", Unit: "x", Bound: AtMost(3), Open: open}
	res := Run(context.Background(), row, 1)
	if res.Value != 3 || res.Min != 1 || res.Max != 9 || res.Rounds != 5 || !res.OK {
		t.Errorf("median of %v at most 3: got %+v", values, res)
	}
	row.Bound = AtMost(2.9)
	if res := Run(context.Background(), row, 5); res.OK {
		t.Errorf("a value above its bound passed: %+v", res)
	}
	row.Bound = AtLeast(3.1)
	if res := Run(context.Background(), row, 5); res.OK {
		t.Errorf("a value below its bound passed: %+v", res)
	}
}

// A bound of nothing is one: no allocation is at most 0 of them.
func TestOnlyTheZeroBoundIsNone(t *testing.T) {
	for _, c := range []struct {
		bound     Bound
		text      string
		less, too bool // whether -1 holds, and 1
	}{
		{Bound{}, "-", true, true},
		{AtMost(0), "<=0", true, false},
		{AtLeast(0), ">=0", false, true},
	} {
		if less, too := c.bound.Holds(-1), c.bound.Holds(1); less != c.less || too != c.too || !c.bound.Holds(0) || c.bound.String() != c.text {
			t.Errorf("%s: -1 holds %v, 1 holds %v; want %s, %v, %v", c.bound, less, too, c.text, c.less, c.too)
		}
	}
}

func TestRunSkipsAloudAndFailsOnErrors(t *testing.T) {
	row := Row{Name: "a", Open: func(context.Context) (func() (float64, error), func(), error) {
		return nil, nil, fmt.Errorf("%w: no server", ErrSkipped)
	}}
	if res := Run(context.Background(), row, 5); res.Skipped == "" || !res.OK {
		t.Errorf("a row without its server wasn't skipped: %+v", res)
	}
	row.Open = func(context.Context) (func() (float64, error), func(), error) {
		return func() (float64, error) { return 0, errors.New("broken") }, nil, nil
	}
	if res := Run(context.Background(), row, 5); res.OK || res.Error == "" {
		t.Errorf("a row that failed passed: %+v", res)
	}
}

func TestVersusTakesTurnsAndDividesTheRightWay(t *testing.T) {
	var order []string
	fake := func(op Op) (float64, error) {
		return map[string]float64{"ours": 2, "theirs": 8}[op().Error()], nil
	}
	op := func(name string) Op {
		return func() error { order = append(order, name); return errors.New(name) }
	}
	round := versus(fake, op("ours"), op("theirs"))
	for range 2 {
		if got, err := round(); err != nil || got != 0.25 {
			t.Errorf("2 ns against 8 ns gave %v, %v", got, err)
		}
	}
	if fmt.Sprint(order) != "[ours theirs theirs ours]" {
		t.Errorf("the sides didn't take turns in going first: %v", order)
	}
}

func TestRateIsHowMuchMoreGetsDone(t *testing.T) {
	v, err := inverse(func() (float64, error) { return 0.25, nil })()
	if err != nil || v != 4 {
		t.Errorf("a quarter of the time is %v times the rate, %v; want 4", v, err)
	}
}

func TestQuantileTakesTurns(t *testing.T) {
	var order string
	op := func(name string) Op { return func() error { order += name; return nil } }
	if _, err := Quantile(0.5, 3, op("a"), op("b"))(); err != nil || order != "abbaab" {
		t.Errorf("the sides ran as %q, %v; each must go first in turn", order, err)
	}
	if v := at([]float64{5, 1, 4, 2, 3}, 0.5); v != 3 {
		t.Errorf("the median of five is %v", v)
	}
	if v := at([]float64{5, 1, 4, 2, 3}, 0.99); v != 5 {
		t.Errorf("the 99th percentile of five is %v", v)
	}
}
