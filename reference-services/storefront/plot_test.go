package storefront

import (
	"math"
	"testing"
)

func TestGeohashBox(t *testing.T) {
	b := geohashBox("ezs4")
	if !(b.west < -5.6 && -5.6 < b.east && b.south < 42.6 && 42.6 < b.north) {
		t.Errorf("ezs4 is %+v; 42.6 north, 5.6 west lies in it", b)
	}
	if w := b.east - b.west; math.Abs(w-0.3515625) > 1e-9 {
		t.Errorf("ezs4 is %v degrees wide; four letters leave 0.3515625", w)
	}
	if got := geohashBox(""); got != (box{-180, -90, 180, 90}) {
		t.Errorf("no geohash is %+v; it must be the whole world", got)
	}
}

func TestPlotKeepsEverythingInsideAndNorthUp(t *testing.T) {
	at := func(lat, lon float64) Item {
		return Item{Restaurant: &Restaurant{Location: Location{lat, lon}}}
	}
	p := newPlot(&Page{Query: Query{Geohash: "dr5r"}, Items: []Item{at(40.70, -74.01), at(40.76, -73.97), {}, at(40.73, -73.99)}})
	if len(p.Points) != 3 {
		t.Fatalf("%d points; the item that is missing has none", len(p.Points))
	}
	for _, pt := range p.Points {
		if pt.X < plotMargin || pt.X > plotWidth-plotMargin || pt.Y < plotMargin || pt.Y > plotHeight-plotMargin {
			t.Errorf("point %+v lies outside the margins", pt)
		}
	}
	if p.Points[1].Y >= p.Points[0].Y || p.Points[1].X <= p.Points[0].X {
		t.Errorf("%+v must lie north-east of %+v", p.Points[1], p.Points[0])
	}
	if p.Points[2].Number != 4 {
		t.Errorf("the last point is number %d; points carry their place in the list", p.Points[2].Number)
	}
	if p := newPlot(&Page{Items: []Item{{}}}); p != nil {
		t.Error("a page without places has no plot")
	}
	if p := newPlot(&Page{Items: []Item{at(40.7, -74)}}); p == nil || p.Points[0].X != plotWidth/2 {
		t.Error("a single place lies in the middle")
	}
}
