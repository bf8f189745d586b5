package rules_test

import (
	"fmt"

	"github.com/goswale/swale/discovery/rules"
)

// Half of London's customers are sent to a new service; everybody else stays.
func Example() {
	set, err := rules.Parse([]byte(`{"rules": [
		{"id": "v1", "match": {"path": "/v1/*"}, "route": {"url": "https://old.example"}},
		{"id": "points", "match": {"path": "/v1/point/*", "region": ["LON", "DUB"],
			"proportion": {"percent": 50, "by": "attr:customer"}}, "route": {"service": "points"}}
	]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	engine, err := rules.Accept(set)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, customer := range []string{"ada", "bo", "cy"} {
		d := engine.Decide(&rules.Request{
			Method: "GET", Path: "/v1/point/7",
			Attributes: map[string]string{"region": "LON", "customer": customer},
		})
		fmt.Println(customer, d.Rule(rules.Answer).ID)
	}
	x := engine.Explain(&rules.Request{Method: "GET", Path: "/v1/points", Attributes: map[string]string{"region": "LON", "customer": "ada"}})
	fmt.Println(x.Trials[0].Words)
	// Output:
	// ada points
	// bo v1
	// cy v1
	// doesn't match: path is "/v1/points", not /v1/point/* (a pattern is whole segments)
}

// What is wrong with rules is said before they are used.
func ExampleAccept() {
	set, err := rules.Parse([]byte(`{"rules": [
		{"id": "all", "priority": 1, "match": {"path": "/v1/*"}, "route": {"service": "old"}},
		{"id": "new", "match": {"path": "/v1/point"}, "route": {"service": "points"}}
	]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = rules.Accept(set)
	fmt.Println(err)
	// Output:
	// rules: not accepted:
	// shadowed: rule "new": it never wins: "all" matches wherever it does, and comes first because its priority is 1, not 0
}
