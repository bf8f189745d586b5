package restaurants

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

const (
	maxLine     = 256 << 10 // bytes of one line of an import
	importBatch = 500       // restaurants in one transaction
	keptReasons = 100       // bad lines that a report names
)

// ImportReport says what became of an import.
type ImportReport struct {
	Lines     int // read, without empty ones
	Created   int
	Updated   int
	Unchanged int
	Bad       int
	BadLines  []BadLine // the first hundred
}

// BadLine is a line that was passed over.
type BadLine struct {
	Line   int // from 1
	Reason string
}

func (b BadLine) String() string { return fmt.Sprintf("line %d: %s", b.Line, b.Reason) }

// Import reads restaurants, one JSON object a line, in the shape of the New
// York City inspection data set:
//
//	{"restaurant_id":"…","name":"…","cuisine":"…","borough":"…",
//	 "address":{"building":"…","street":"…","zipcode":"…","coord":[lon,lat]}}
//
// A bad line is counted and named, and the rest goes on. A restaurant that is
// there already is updated if it differs, so an import can be repeated. The
// progress function, which may be nil, is called after each transaction and
// each bad line, from this goroutine.
//
// What was imported before an error or the end of ctx stays.
func (s *Service) Import(ctx context.Context, from io.Reader, progress func(ImportReport)) (ImportReport, error) {
	return s.load(ctx, newLines(from).next, progress)
}

// load stores what next yields: a restaurant, a bad line, or io.EOF.
func (s *Service) load(ctx context.Context, next func() (Restaurant, error), progress func(ImportReport)) (ImportReport, error) {
	var report ImportReport
	if progress == nil {
		progress = func(ImportReport) {}
	}
	there, err := s.Count(ctx)
	if err != nil {
		return report, err
	}
	// Nobody can have cached a restaurant that was never served.
	quiet := there == 0
	batch := make([]Restaurant, 0, importBatch)
	for done := false; !done; {
		r, err := next()
		var bad *badLineError
		switch {
		case errors.Is(err, io.EOF):
			done = true
		case errors.As(err, &bad):
			report.Lines++
			report.Bad++
			if len(report.BadLines) < keptReasons {
				report.BadLines = append(report.BadLines, bad.BadLine)
			}
			progress(report)
			continue
		case err != nil:
			return report, fmt.Errorf("restaurants: import: %w", err)
		default:
			report.Lines++
			batch = append(batch, r)
		}
		if len(batch) < importBatch && !done {
			continue
		}
		if err := s.store(ctx, batch, quiet, &report); err != nil {
			return report, fmt.Errorf("restaurants: import: %w", err)
		}
		batch = batch[:0]
		progress(report)
	}
	return report, nil
}

// store writes a batch in one transaction.
func (s *Service) store(ctx context.Context, batch []Restaurant, quiet bool, report *ImportReport) error {
	if len(batch) == 0 {
		return nil
	}
	counted := *report
	err := s.box.InTx(ctx, func(tx *sql.Tx) error {
		counted = *report
		now := time.Now()
		for i := range batch {
			kind, err := s.upsert(ctx, tx, batch[i], now, &counted)
			if err != nil {
				return err
			}
			if quiet || kind == resn.Noop {
				continue
			}
			if err := s.announce(ctx, tx, kind, s.itemURL(batch[i].ID), "", now); err != nil {
				return err
			}
		}
		if quiet {
			return s.announce(ctx, tx, resn.Update, s.collectionURL(), "", now)
		}
		return nil
	})
	if err == nil {
		*report = counted
	}
	return err
}

// upsert writes a restaurant and returns the kind of change that it was.
func (s *Service) upsert(ctx context.Context, tx *sql.Tx, r Restaurant, now time.Time, report *ImportReport) (string, error) {
	old, err := find(ctx, tx, r.ID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		report.Created++
		return resn.Create, save(ctx, tx, &r, now)
	case err != nil:
		return "", err
	}
	// The file knows nothing of these.
	r.Status, r.PrepMinutes = old.Status, old.PrepMinutes
	if r.State == old.State {
		report.Unchanged++
		return resn.Noop, nil
	}
	report.Updated++
	return resn.Update, save(ctx, tx, &r, now)
}

// lines reads the restaurants of a file.
type lines struct {
	from *bufio.Reader
	line int
}

func newLines(from io.Reader) *lines { return &lines{from: bufio.NewReaderSize(from, maxLine)} }

// badLineError is a line that isn't a restaurant.
type badLineError struct{ BadLine }

func (e *badLineError) Error() string { return e.String() }

func (l *lines) next() (Restaurant, error) {
	for {
		text, err := l.from.ReadSlice('\n')
		l.line++
		if errors.Is(err, bufio.ErrBufferFull) {
			// Pass over the rest of it without keeping it.
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = l.from.ReadSlice('\n')
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return Restaurant{}, err
			}
			return Restaurant{}, l.bad("it is longer than %d bytes", maxLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return Restaurant{}, err
		}
		text = bytes.TrimSpace(text)
		if len(text) > 0 {
			return l.parse(text)
		}
		if err != nil {
			return Restaurant{}, io.EOF
		}
	}
}

func (l *lines) bad(format string, args ...any) error {
	return &badLineError{BadLine{l.line, fmt.Sprintf(format, args...)}}
}

// record is a line of the file.
type record struct {
	ID      string `json:"restaurant_id"`
	Name    string `json:"name"`
	Cuisine string `json:"cuisine"`
	Borough string `json:"borough"`
	Address struct {
		Building string    `json:"building"`
		Street   string    `json:"street"`
		Zipcode  string    `json:"zipcode"`
		Coord    []float64 `json:"coord"` // longitude, latitude
	} `json:"address"`
}

func (l *lines) parse(text []byte) (Restaurant, error) {
	var rec record
	if err := json.Unmarshal(text, &rec); err != nil {
		return Restaurant{}, l.bad("it isn't a restaurant in JSON: %v", err)
	}
	switch {
	case rec.ID == "" || len(rec.ID) > maxText:
		return Restaurant{}, l.bad("restaurant_id is missing or longer than %d bytes", maxText)
	case len(rec.Address.Coord) != 2:
		return Restaurant{}, l.bad("address.coord has %d numbers; it must be [longitude, latitude]", len(rec.Address.Coord))
	}
	r := Restaurant{ID: rec.ID, State: State{
		Name: rec.Name, Cuisine: rec.Cuisine, Borough: rec.Borough,
		Address:  Address{rec.Address.Building, rec.Address.Street, rec.Address.Zipcode},
		Location: Location{Lat: rec.Address.Coord[1], Lon: rec.Address.Coord[0]},
		Status:   StatusOpen,
	}}
	if errs := r.Validate(); len(errs) > 0 {
		return Restaurant{}, l.bad("%s", inWords(errs[0]))
	}
	return r, nil
}

func inWords(e hal.FieldError) string { return e.Pointer + ": " + e.Detail }
