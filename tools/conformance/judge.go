package conformance

import (
	"cmp"
	"slices"
)

// A Report is the judged outcome of one run.
type Report struct {
	// Required and Optimal count the tests that apply.
	Required, Optimal Count
	// Open did not pass and nobody has argued why, required ones first.
	Open []Failure
	// Argued did not pass, for a reason in arguments.txt.
	Argued []Failure
	// Needless are ids that are argued although the test passes or is unknown.
	Needless []string
	// Excluded are how many tests are not about a private cache, by reason.
	Excluded map[string]int
	// Checks are the tests that only ask, with their answer.
	Checks []Test
}

// A Count is how many tests of a kind passed.
type Count struct{ Passed, Total int }

// A Failure is a test that did not pass.
type Failure struct {
	Test
	// Why is what happened, or the argument.
	Why string
}

// Judge sorts the results: those that apply to a private cache are counted, and
// those that did not pass are listed. A test whose precondition failed did not
// pass, whatever it says itself.
func Judge(tests []Test, arguments map[string]string) Report {
	r := Report{Excluded: make(map[string]int)}
	byID := make(map[string]Test, len(tests))
	for _, t := range tests {
		byID[t.ID] = t
	}
	needed := make(map[string]bool)
	for _, t := range tests {
		if reason := Profile(t); reason != "" {
			r.Excluded[reason]++
			continue
		}
		if t.Kind == Check {
			r.Checks = append(r.Checks, t)
			continue
		}
		count := &r.Required
		if t.Kind == Optimal {
			count = &r.Optimal
		}
		count.Total++
		why := failure(t, byID)
		if why == "" {
			count.Passed++
			continue
		}
		if argument := arguments[t.ID]; argument != "" {
			needed[t.ID] = true
			r.Argued = append(r.Argued, Failure{t, argument})
			continue
		}
		r.Open = append(r.Open, Failure{t, why})
	}
	for id := range arguments {
		if !needed[id] {
			r.Needless = append(r.Needless, id)
		}
	}
	slices.Sort(r.Needless)
	for _, failures := range [][]Failure{r.Open, r.Argued} {
		slices.SortStableFunc(failures, func(a, b Failure) int { return -cmp.Compare(a.Kind, b.Kind) })
	}
	return r
}

// OpenRequired returns the required tests that failed without an argument.
func (r Report) OpenRequired() []Failure {
	var open []Failure
	for _, f := range r.Open {
		if f.Kind == Required {
			open = append(open, f)
		}
	}
	return open
}

// failure says why a test did not pass, or nothing when it did.
func failure(t Test, byID map[string]Test) string {
	for _, id := range t.DependsOn {
		if d, ok := byID[id]; ok && failure(d, byID) != "" {
			if t.Passed {
				return "passes, but says nothing: " + id + " did not pass"
			}
			return "depends on " + id + ", which did not pass"
		}
	}
	if t.Passed {
		return ""
	}
	return t.why()
}
