package storefront

import (
	"fmt"
	"math"
)

// The plot's size, in the units of its view box.
const (
	plotWidth  = 400
	plotHeight = 400
	plotMargin = 16
)

// plot is a map without a map: where the restaurants of a page lie to each
// other, north up, and where the area ends that was asked for.
type plot struct {
	Points []point
	Area   *rectangle // nil if it doesn't fit
	Scale  rule
}

type point struct {
	X, Y   float64
	Number int // its place in the list, from 1
	Name   string
	Source Source
}

type rectangle struct{ X, Y, Width, Height float64 }

// rule is a scale bar.
type rule struct {
	X1, X2, Y float64
	Label     string
}

// newPlot projects the items of a page. It returns nil if there is nothing to
// see.
func newPlot(p *Page) *plot {
	seen := box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for i := range p.Items {
		if r := p.Items[i].Restaurant; r != nil && r.Location.known() {
			l := r.Location
			seen = box{min(seen.west, l.Lon), min(seen.south, l.Lat), max(seen.east, l.Lon), max(seen.north, l.Lat)}
		}
	}
	if seen.west > seen.east {
		return nil
	}
	view := newProjection(seen)
	out := &plot{Scale: view.rule()}
	for i := range p.Items {
		if r := p.Items[i].Restaurant; r != nil && r.Location.known() {
			x, y := view.at(r.Location.Lon, r.Location.Lat)
			out.Points = append(out.Points, point{x, y, i + 1, r.Name, p.Items[i].Source})
		}
	}
	if p.Query.Geohash != "" {
		out.Area = view.area(geohashBox(p.Query.Geohash))
	}
	return out
}

func (l Location) known() bool {
	return l != Location{} && math.Abs(l.Lat) <= 85 && math.Abs(l.Lon) <= 180
}

// projection maps degrees to the plot: equirectangular, with degrees of
// longitude as wide as they are at the middle parallel. Over a city nobody can
// tell it from a better one.
type projection struct {
	lon, lat float64 // of the middle
	shrink   float64 // of a degree of longitude
	unit     float64 // units of the plot in a degree of latitude
}

func newProjection(b box) projection {
	p := projection{lon: (b.west + b.east) / 2, lat: (b.south + b.north) / 2}
	p.shrink = math.Cos(p.lat * math.Pi / 180)
	const least = 0.002 // some 200 m, so that one street doesn't fill the plot
	width := max((b.east-b.west)*p.shrink, least)
	height := max(b.north-b.south, least)
	p.unit = min((plotWidth-2*plotMargin)/width, (plotHeight-2*plotMargin)/height)
	return p
}

func (p projection) at(lon, lat float64) (x, y float64) {
	x = plotWidth/2 + (lon-p.lon)*p.shrink*p.unit
	y = plotHeight/2 - (lat-p.lat)*p.unit
	return math.Round(x*10) / 10, math.Round(y*10) / 10
}

// area returns the rectangle of a box, or nil where no border of it would be
// seen.
func (p projection) area(b box) *rectangle {
	x1, y1 := p.at(b.west, b.north)
	x2, y2 := p.at(b.east, b.south)
	if x1 < 0 && y1 < 0 && x2 > plotWidth && y2 > plotHeight || x2-x1 > 4*plotWidth {
		return nil
	}
	return &rectangle{x1, y1, x2 - x1, y2 - y1}
}

// rule returns a scale bar of a round length, at most a third of the width.
func (p projection) rule() rule {
	const metresInDegree = 111_195
	metres := metresInDegree / p.unit * plotWidth / 3
	length := math.Pow(10, math.Floor(math.Log10(metres)))
	for _, factor := range []float64{5, 2} {
		if length*factor <= metres {
			length *= factor
			break
		}
	}
	label := fmt.Sprintf("%g m", length)
	if length >= 1000 {
		label = fmt.Sprintf("%g km", length/1000)
	}
	return rule{plotMargin, plotMargin + math.Round(length/metresInDegree*p.unit), plotHeight - 10, label}
}
