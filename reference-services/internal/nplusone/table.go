package nplusone

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	rows := [][]string{
		{"", "", "page", "page", "requests", "stale", "after", "staleness", "", ""},
		{"", "pages", "p50 ms", "p99 ms", "per page", "shown", "notice", "p50 ms", "p99 ms", "max ms"},
	}
	for _, f := range r.Strategies {
		rows = append(rows, []string{
			f.Name,
			strconv.Itoa(f.Pages),
			figure(f.PageP50), figure(f.PageP99),
			figure(f.RequestsPerPage),
			share(f.StaleItemsShown, f.ItemsShown),
			strconv.Itoa(f.StaleAfterNotice),
			figure(f.StalenessP50), figure(f.StalenessP99), figure(f.StalenessMax),
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "A page is one list and %d items. %d updates were made meanwhile.\n\n", r.ItemsPerPage, r.Updates)
	align(&b, rows)
	b.WriteString("\n")
	resn, etag := r.Of(RESN), r.Of(ETag)
	if resn.PageP50 > 0 && etag.PageP50 > 0 {
		fmt.Fprintf(&b, "A resn page takes %s of the time of an etag page (p50).\n", fraction(etag.PageP50/resn.PageP50))
	}
	if resn.QuietPages > 0 {
		fmt.Fprintf(&b, "%d resn pages saw no change; none of them asked the domain service %s.\n",
			resn.QuietPages, times(resn.QuietPageRequests))
	}
	for _, f := range r.Strategies {
		if f.Errors > 0 {
			fmt.Fprintf(&b, "%s: %d items or lists couldn't be read; they count in no other column.\n", f.Name, f.Errors)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Legend says how each column was measured.
const Legend = `
none     no cache
etag     github.com/gregjones/httpcache, made to revalidate every response
max-age  package cache without a bus: an RFC 9111 cache that trusts max-age
resn     resn.NewClient: package cache, kept coherent by change notices

page       from asking for the list to having the last item decoded
requests   those that reached the domain service
stale      items whose owner had committed a newer version before the page
           began to read them
after      of those, the ones whose notice this process had already taken in
staleness  of all items shown: for how long a newer version had been in force
`

// align writes rows with the first column to the left and the others to the
// right.
func align(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i == 0 {
				fmt.Fprintf(&line, "%-*s", widths[i], cell)
			} else {
				fmt.Fprintf(&line, "  %*s", widths[i], cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
}

// figure writes a number with about three significant digits.
func figure(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 0.0005:
		return "<0.001"
	case f < 0.1:
		return strconv.FormatFloat(f, 'f', 3, 64)
	case f < 10:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case f < 100:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

func share(part, whole int) string {
	if part == 0 || whole == 0 {
		return strconv.Itoa(part)
	}
	return fmt.Sprintf("%d (%.1f%%)", part, 100*float64(part)/float64(whole))
}

func fraction(ratio float64) string {
	return "1/" + strconv.FormatFloat(ratio, 'f', 1, 64)
}

func times(n int) string {
	switch n {
	case 0:
		return "anything"
	case 1:
		return "more than once"
	}
	return "more than " + strconv.Itoa(n) + " times"
}
