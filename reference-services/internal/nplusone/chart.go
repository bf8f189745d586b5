package nplusone

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The chart's geometry, in the units of its view box.
const (
	chartWidth  = 960
	chartMargin = 32
	panelWidth  = (chartWidth - 3*chartMargin) / 2
	panelHeight = 184
	headHeight  = 92
	labelWidth  = 76
	valueWidth  = 128
	rowHeight   = 30
	rowsTop     = 54
	plotWidth   = panelWidth - labelWidth - valueWidth
	chartHeight = headHeight + 2*(panelHeight+24) + 40
)

// WriteChart writes the report as an SVG that stands alone: no scripts, no
// fonts to fetch, and colours that follow the reader's light or dark scheme.
func (r *Report) WriteChart(w io.Writer) error {
	var c chart
	c.open(r)
	left, right := float64(chartMargin), float64(2*chartMargin+panelWidth)
	top, bottom := float64(headHeight), float64(headHeight+panelHeight+24)
	c.spans(left, top, "Page latency", "ms, logarithmic   ● p50   ○ p99", r, func(f Figures) []float64 {
		return []float64{f.PageP50, f.PageP99}
	})
	c.bars(right, top, "Domain requests", "per page, the list included", r,
		func(f Figures) float64 { return f.RequestsPerPage },
		func(f Figures) string { return figure(f.RequestsPerPage) })
	c.bars(left, bottom, "Stale items shown", "percent of all items shown", r,
		func(f Figures) float64 { return percent(f.StaleItemsShown, f.ItemsShown) },
		func(f Figures) string {
			if f.StaleItemsShown == 0 {
				return "0"
			}
			return figure(percent(f.StaleItemsShown, f.ItemsShown)) + " %"
		})
	c.spans(right, bottom, "Staleness shown", "ms, logarithmic   ● p50   ○ p99   ◇ max", r, func(f Figures) []float64 {
		return []float64{f.StalenessP50, f.StalenessP99, f.StalenessMax}
	})
	c.close(r)
	_, err := io.WriteString(w, c.String())
	return err
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

type chart struct{ strings.Builder }

func (c *chart) put(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

func (c *chart) open(r *Report) {
	c.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`,
		chartWidth, chartHeight, chartWidth, chartHeight)
	c.put(`<title id="t">N+1 requests, four ways</title>`)
	c.put(`<desc id="d">%s</desc>`, html.EscapeString(r.describe()))
	c.put(`<style>
svg { --paper: #fff; --ink: #1c2522; --soft: #5d6b66; --rule: #e1e7e4; --bar: #a9b8b2; --mark: #0b7a53; --warn: #b3361f; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { svg { --paper: #131917; --ink: #e8eeeb; --soft: #9baaa4; --rule: #2a3430; --bar: #5c6d66; --mark: #3fcf97; --warn: #ff8a70; } }
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-size: 13px; fill: var(--ink); }
.paper { fill: var(--paper); }
.title { font-size: 22px; font-weight: 650; }
.head { font-size: 15px; font-weight: 600; }
.soft { fill: var(--soft); }
.small { font-size: 11.5px; fill: var(--soft); }
.value { font-variant-numeric: tabular-nums; }
.rule { stroke: var(--rule); stroke-width: 1; }
.track { fill: var(--rule); }
.bar { fill: var(--bar); }
.span { stroke: var(--bar); stroke-width: 3; stroke-linecap: round; }
.dot { fill: var(--bar); stroke: var(--bar); stroke-width: 2; }
.ring { fill: var(--paper); stroke: var(--bar); stroke-width: 2.5; }
.resn text { fill: var(--mark); font-weight: 650; }
.resn .bar, .resn .dot { fill: var(--mark); }
.resn .span, .resn .dot, .resn .ring { stroke: var(--mark); }
</style>`)
	c.put(`<rect class="paper" width="%d" height="%d" rx="10"/>`, chartWidth, chartHeight)
	c.put(`<text class="title" x="%d" y="44">N+1 requests, four ways</text>`, chartMargin)
	c.put(`<text class="soft" x="%d" y="68">A page is one list and %d items. %d updates were made while pages were loaded; less is better everywhere.</text>`,
		chartMargin, r.ItemsPerPage, r.Updates)
}

func (c *chart) close(r *Report) {
	resn := r.Of(RESN)
	c.put(`<text class="small" x="%d" y="%d">Stale after their notice had arrived, with resn: %d of %d items shown. Pages: %s.</text>`,
		chartMargin, chartHeight-24, resn.StaleAfterNotice, resn.ItemsShown, html.EscapeString(r.pages()))
	c.put(`</svg>`)
}

func (r *Report) pages() string {
	parts := make([]string, len(r.Strategies))
	for i, f := range r.Strategies {
		parts[i] = fmt.Sprintf("%s %d", f.Name, f.Pages)
	}
	return strings.Join(parts, ", ")
}

// describe puts the figures into words, for who can't see the chart.
func (r *Report) describe() string {
	var b strings.Builder
	for _, f := range r.Strategies {
		fmt.Fprintf(&b, "%s: page p50 %s ms, p99 %s ms; %s domain requests per page; %d stale items shown, %d of them after notice; staleness p99 %s ms, at most %s ms. ",
			f.Name, figure(f.PageP50), figure(f.PageP99), figure(f.RequestsPerPage), f.StaleItemsShown, f.StaleAfterNotice, figure(f.StalenessP99), figure(f.StalenessMax))
	}
	return strings.TrimSpace(b.String())
}

// panel opens a panel; rows follow at fixed places.
func (c *chart) panel(x, y float64, title, unit string) {
	c.put(`<g transform="translate(%.1f %.1f)">`, x, y)
	c.put(`<line class="rule" x1="0" y1="0" x2="%d" y2="0"/>`, panelWidth)
	c.put(`<text class="head" x="0" y="24">%s</text>`, html.EscapeString(title))
	c.put(`<text class="small" x="%d" y="24" text-anchor="end">%s</text>`, panelWidth, html.EscapeString(unit))
}

func (c *chart) row(i int, f Figures, value string) (y float64) {
	class := "row"
	if f.Name == RESN {
		class += " resn"
	}
	y = rowsTop + float64(i)*rowHeight
	c.put(`<g class="%s">`, class)
	c.put(`<text x="0" y="%.1f">%s</text>`, y+4.5, html.EscapeString(f.Name))
	c.put(`<text class="value" x="%d" y="%.1f" text-anchor="end">%s</text>`, panelWidth, y+4.5, html.EscapeString(value))
	return y
}

// bars draws one bar a strategy on a linear scale from zero.
func (c *chart) bars(x, y float64, title, unit string, r *Report, value func(Figures) float64, label func(Figures) string) {
	most := 0.0
	for _, f := range r.Strategies {
		most = max(most, value(f))
	}
	c.panel(x, y, title, unit)
	for i, f := range r.Strategies {
		y := c.row(i, f, label(f))
		c.put(`<rect class="track" x="%d" y="%.1f" width="%d" height="10" rx="5"/>`, labelWidth, y-5, plotWidth)
		if v := value(f); v > 0 {
			c.put(`<rect class="bar" x="%d" y="%.1f" width="%.1f" height="10" rx="5"/>`, labelWidth, y-5, max(4, v/most*plotWidth))
		}
		c.put(`</g>`)
	}
	c.put(`</g>`)
}

// spans draws from the least to the greatest of a strategy's values on a
// logarithmic scale, on which a zero stands at the left end.
func (c *chart) spans(x, y float64, title, unit string, r *Report, values func(Figures) []float64) {
	low, high := logRange(r, values)
	at := func(v float64) float64 {
		if v <= low {
			return labelWidth
		}
		return labelWidth + math.Log10(v/low)/math.Log10(high/low)*plotWidth
	}
	c.panel(x, y, title, unit)
	bottom := rowsTop + float64(len(r.Strategies))*rowHeight - 8
	for tick := low; tick <= high*1.001; tick *= 10 {
		label := figureTick(tick)
		if tick == low && hasZero(r, values) {
			label = "0"
		}
		c.put(`<line class="rule" x1="%.1f" y1="38" x2="%.1f" y2="%.1f"/>`, at(tick), at(tick), bottom)
		c.put(`<text class="small" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, at(tick), bottom+14, label)
	}
	for i, f := range r.Strategies {
		vs := values(f)
		labels := make([]string, len(vs))
		for j, v := range vs {
			labels[j] = figure(v)
		}
		y := c.row(i, f, shortest(labels))
		c.put(`<line class="span" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, at(vs[0]), y, at(vs[len(vs)-1]), y)
		for j, v := range slices.Backward(vs) {
			switch j {
			case 0:
				c.put(`<circle class="dot" cx="%.1f" cy="%.1f" r="4.5"/>`, at(v), y)
			case 1:
				c.put(`<circle class="ring" cx="%.1f" cy="%.1f" r="4.5"/>`, at(v), y)
			default:
				c.put(`<rect class="ring" x="%.1f" y="%.1f" width="8" height="8" transform="rotate(45 %.1f %.1f)"/>`, at(v)-4, y-4, at(v), y)
			}
		}
		c.put(`</g>`)
	}
	c.put(`</g>`)
}

// shortest joins values, or says once that all of them are zero.
func shortest(labels []string) string {
	for _, l := range labels {
		if l != "0" {
			return strings.Join(labels, " · ")
		}
	}
	return "0"
}

// logRange returns powers of ten around all values that aren't zero.
func logRange(r *Report, values func(Figures) []float64) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, f := range r.Strategies {
		for _, v := range values(f) {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		return 0.1, 10
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
	if hasZero(r, values) {
		low /= 10 // so that the least value doesn't look like zero
	}
	if high <= low {
		high = low * 10
	}
	return low, high
}

func hasZero(r *Report, values func(Figures) []float64) bool {
	for _, f := range r.Strategies {
		if slices.Contains(values(f), 0) {
			return true
		}
	}
	return false
}

func figureTick(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", math.Round(v*1e6)/1e6)
}
