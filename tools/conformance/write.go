package conformance

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteMarkdown writes the report as the page that is committed.
func (r Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# HTTP cache conformance

What `+"`cache`"+` does in the public HTTP cache tests (http-cache-tests %s), as a
private cache. Written by `+"`make conformance`"+`; do not edit. Reasons come from
`+"`tools/conformance/arguments.txt`"+`.

| kind | passed | of |
|---|---|---|
| required | %d | %d |
| optimal | %d | %d |
`, Version(), r.Required.Passed, r.Required.Total, r.Optimal.Passed, r.Optimal.Total)

	b.WriteString("\n## Not passed\n\n")
	if len(r.Open)+len(r.Argued) == 0 {
		b.WriteString("None.\n")
	} else {
		b.WriteString("| test | kind | asks | why not |\n|---|---|---|---|\n")
		for _, f := range r.Argued {
			row(&b, f.ID, string(f.Kind), f.Name, f.Why)
		}
		for _, f := range r.Open {
			row(&b, f.ID, string(f.Kind), f.Name, "no argument yet; "+f.Why)
		}
	}

	b.WriteString("\n## Not about a private cache\n\n| tests | reason |\n|---|---|\n")
	for _, reason := range slices.Sorted(maps.Keys(r.Excluded)) {
		row(&b, fmt.Sprint(r.Excluded[reason]), reason)
	}

	b.WriteString("\n## How it behaves where the standard is open\n\n| test | asks | answer |\n|---|---|---|\n")
	for _, t := range r.Checks {
		answer := "no"
		if t.Passed {
			answer = "yes"
		}
		row(&b, t.ID, t.Name, answer)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// row writes one line of a table.
func row(b *strings.Builder, cells ...string) {
	for _, c := range cells {
		b.WriteString("| " + strings.NewReplacer("|", `\|`, "\n", " ").Replace(c) + " ")
	}
	b.WriteString("|\n")
}

// WriteText writes the report for a terminal.
func (r Report) WriteText(w io.Writer) {
	for _, f := range r.Open {
		fmt.Fprintf(w, "%-8s %-12s %s\n         %s\n         %s\n", f.Kind, f.Suite, f.ID, f.Name, f.Why)
	}
	for _, f := range r.Argued {
		fmt.Fprintf(w, "argued   %-12s %s: %s\n", f.Suite, f.ID, f.Why)
	}
	for _, id := range r.Needless {
		fmt.Fprintf(w, "needless argument for %s: the test passes, does not apply or does not exist\n", id)
	}
	fmt.Fprintf(w, "required %d/%d, optimal %d/%d, open %d, argued %d\n",
		r.Required.Passed, r.Required.Total, r.Optimal.Passed, r.Optimal.Total, len(r.Open), len(r.Argued))
}
