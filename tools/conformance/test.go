package conformance

import "fmt"

// A Kind is how much a test asks.
type Kind string

// The kinds of the suite.
const (
	// Required tests ask what the standard demands.
	Required Kind = "required"
	// Optimal tests ask whether the cache reuses all that it may.
	Optimal Kind = "optimal"
	// Check tests gather how caches behave where the standard is open.
	Check Kind = "check"
)

// A Test is one test of the suite with its result.
type Test struct {
	// Suite is the id of the group that the test is in, SuiteName its title.
	Suite     string `json:"suite"`
	SuiteName string `json:"suite_name"`
	// ID is short and stable, Name says what is tested.
	ID   string `json:"id"`
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// DependsOn are ids of tests without which this one says nothing.
	DependsOn []string `json:"depends_on"`
	// Passed says that everything was as expected; otherwise Error names the
	// sort of failure and Message the failure.
	Passed  bool   `json:"passed"`
	Error   string `json:"error"`
	Message string `json:"message"`
}

// why says in words why the test did not pass.
func (t Test) why() string {
	switch {
	case t.Error == "Setup" && t.Message == "retry":
		return "a request reached the origin twice"
	case t.Error == "Setup":
		return "not reached: " + t.Message
	case t.Error == "Assertion":
		return t.Message
	default:
		return fmt.Sprintf("%s: %s", t.Error, t.Message)
	}
}
