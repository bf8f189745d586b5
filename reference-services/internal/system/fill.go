package system

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/goswale/swale/reference-services/restaurants"
)

// citySeed makes every generated city the same one.
const citySeed = 2017

// fill imports the file, or generates a city where there is nothing yet.
func (s *System) fill(ctx context.Context, owner *restaurants.Service) (err error) {
	opts := &s.opts
	if opts.File != "" {
		if err := s.importFile(ctx, owner); err != nil {
			return err
		}
	}
	if s.Restaurants, err = owner.Count(ctx); err != nil {
		return err
	}
	if s.Restaurants > 0 || opts.City < 0 || opts.File != "" {
		return nil
	}
	report, err := owner.Generate(ctx, opts.City, citySeed)
	s.Seeded, s.Restaurants = report.Created, report.Created
	return err
}

// importFile imports the restaurants of a file, and tells of the progress.
func (s *System) importFile(ctx context.Context, owner *restaurants.Service) error {
	opts := &s.opts
	file, err := os.Open(opts.File)
	if err != nil {
		return fmt.Errorf("the restaurants to import: %w", err)
	}
	defer func() { _ = file.Close() }()
	var size int64
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	tell := opts.Imported
	if tell == nil {
		tell = func(Import) {}
	}
	from := &countingReader{next: file}
	named := 0
	report, err := owner.Import(ctx, from, func(r restaurants.ImportReport) {
		for _, bad := range r.BadLines[named:] {
			tell(Import{Line: bad.Line, Reason: bad.Reason})
		}
		named = len(r.BadLines)
		tell(imported(r, from.n, size))
	})
	s.Imported = imported(report, from.n, size)
	if err != nil {
		return fmt.Errorf("%s: %w", opts.File, err)
	}
	if s.Imported.Good == 0 {
		return fmt.Errorf("%s: none of its %d lines is a restaurant", opts.File, report.Lines)
	}
	return nil
}

func imported(r restaurants.ImportReport, done, size int64) Import {
	return Import{Good: r.Created + r.Updated + r.Unchanged, Bad: r.Bad, Done: done, Size: size}
}

// countingReader counts what was read through it.
type countingReader struct {
	next io.Reader
	n    int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.next.Read(p)
	r.n += int64(n)
	return n, err
}
