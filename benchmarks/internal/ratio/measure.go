package ratio

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// budget is about how long one measurement takes.
const budget = 150 * time.Millisecond

// Op does a thing once.
type Op func() error

// PerOp returns the time that op takes, in nanoseconds, over as many runs as
// fit in a moment.
func PerOp(op Op) (float64, error) {
	for n := 1; ; n *= 4 {
		took, err := loop(op, n)
		if err != nil {
			return 0, err
		}
		if took < budget/8 {
			continue
		}
		n = max(1, int(float64(n)*float64(budget)/float64(took)))
		took, err = loop(op, n)
		return float64(took.Nanoseconds()) / float64(n), err
	}
}

func loop(op Op, n int) (time.Duration, error) {
	began := time.Now()
	for range n {
		if err := op(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// PerOpParallel is PerOp on every core at once: wall time over all runs.
func PerOpParallel(op Op) (float64, error) {
	procs := runtime.GOMAXPROCS(0)
	single, err := PerOp(op)
	if err != nil {
		return 0, err
	}
	n := max(1, int(float64(budget)/single))
	var group sync.WaitGroup
	errs := make([]error, procs)
	began := time.Now()
	for i := range procs {
		group.Go(func() { _, errs[i] = loop(op, n) })
	}
	group.Wait()
	took := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(took.Nanoseconds()) / float64(n*procs), nil
}

// Versus returns a round that measures ours against theirs, taking turns in
// who goes first, and gives the ratio of their times.
func Versus(ours, theirs Op) func() (float64, error) {
	return versus(PerOp, ours, theirs)
}

// VersusParallel is Versus on every core at once.
func VersusParallel(ours, theirs Op) func() (float64, error) {
	return versus(PerOpParallel, ours, theirs)
}

func versus(measure func(Op) (float64, error), ours, theirs Op) func() (float64, error) {
	second := false
	return func() (float64, error) {
		first, last := ours, theirs
		if second {
			first, last = theirs, ours
		}
		a, err := measure(first)
		if err != nil {
			return 0, err
		}
		b, err := measure(last)
		if err != nil {
			return 0, err
		}
		if second {
			a, b = b, a
		}
		second = !second
		return a / b, nil
	}
}

// Rate is Versus the other way round: how many times as much ours gets done in
// the same time. An operation should be a burst, such as thousands of messages.
func Rate(ours, theirs Op) func() (float64, error) {
	return inverse(Versus(ours, theirs))
}

func inverse(round func() (float64, error)) func() (float64, error) {
	return func() (float64, error) {
		v, err := round()
		return 1 / v, err
	}
}

// Quantile returns a round in which single operations take turns, so many of
// each, and gives the ratio of that quantile of their times; 0.5 is the median.
func Quantile(q float64, each int, ours, theirs Op) func() (float64, error) {
	return func() (float64, error) {
		sides := [2]Op{ours, theirs}
		var times [2][]float64
		for i := range each {
			for k := range sides {
				side := (i + k) % 2
				took, err := loop(sides[side], 1)
				if err != nil {
					return 0, err
				}
				times[side] = append(times[side], float64(took.Nanoseconds()))
			}
		}
		return at(times[0], q) / at(times[1], q), nil
	}
}

// at returns the value below which the part q of values is.
func at(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Allocs returns how many heap objects op makes.
func Allocs(op Op) (float64, error) {
	const n = 1000
	if _, err := loop(op, 10); err != nil {
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := loop(op, n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / n, err
}
