package restaurants_test

import "testing"

func TestGenerateMakesTheSameCityTwice(t *testing.T) {
	a := start(t)
	report, err := a.Generate(t.Context(), 120, 1)
	if err != nil || report.Created != 120 {
		t.Fatalf("generate: %+v, %v", report, err)
	}
	if report, err = a.Generate(t.Context(), 120, 1); err != nil || report.Unchanged != 120 {
		t.Errorf("the same seed made another city: %+v, %v", report, err)
	}
}
