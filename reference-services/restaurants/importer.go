package restaurants

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

const (
	maxLine     = 256 << 10 // bytes of one line of an import
	importBatch = 500       // restaurants in one transaction
	keptReasons = 100       // bad lines that a report names
	maxID       = 200       // bytes of an id
)

// imports is what is kept of them, in a table that the first one makes.
const imports = `
CREATE TABLE IF NOT EXISTS restaurants_imported (
	id TEXT PRIMARY KEY,
	hash TEXT NOT NULL -- of what an import last said of it
) WITHOUT ROWID;
`

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
// A bad line is counted and named, and the rest goes on. An import can be
// repeated: what it has said before of a restaurant it doesn't do again, so
// that changes made and restaurants deleted since then stay. Where the file has
// changed, so does the restaurant. The progress function, which may be nil, is called after each transaction and
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
	if _, err := s.db.ExecContext(ctx, imports); err != nil {
		return report, fmt.Errorf("restaurants: import: %w", err)
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
			r := batch[i] // a copy: the transaction may be undone
			kind, err := s.upsert(ctx, tx, &r, now, &counted)
			if err != nil {
				return err
			}
			// A file may name a restaurant twice, and readers have come since.
			if kind == resn.Noop || quiet && kind == resn.Create {
				continue
			}
			if err := s.announce(ctx, tx, kind, s.itemURL(r.ID), s.etag(r.Version), now); err != nil {
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
func (s *Service) upsert(ctx context.Context, tx *sql.Tx, r *Restaurant, now time.Time, report *ImportReport) (string, error) {
	known, err := wasImported(ctx, tx, r.ID, r.State.hash())
	if err != nil {
		return "", err
	}
	if known {
		report.Unchanged++
		return resn.Noop, nil
	}
	old, err := find(ctx, tx, r.ID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		report.Created++
		return resn.Create, save(ctx, tx, r, now)
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
	return resn.Update, save(ctx, tx, r, now)
}

// wasImported says whether an import has said exactly this of a restaurant
// before, and takes note that it does now.
func wasImported(ctx context.Context, tx *sql.Tx, id, hash string) (bool, error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO restaurants_imported (id, hash) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET hash = excluded.hash WHERE hash <> excluded.hash`, id, hash)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 0, err
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
	case rec.ID == "" || len(rec.ID) > maxID || rec.ID == "." || rec.ID == ".." || strings.ContainsFunc(rec.ID, unicode.IsControl):
		return Restaurant{}, l.bad("restaurant_id is missing, longer than %d bytes, or can't be part of a URL", maxID)
	case len(rec.Address.Coord) != 2:
		return Restaurant{}, l.bad("address.coord has %d numbers; it must be [longitude, latitude]", len(rec.Address.Coord))
	}
	r := Restaurant{ID: rec.ID, State: State{
		Name: tidy(rec.Name), Cuisine: tidy(rec.Cuisine), Borough: tidy(rec.Borough),
		Address:  Address{tidy(rec.Address.Building), tidy(rec.Address.Street), tidy(rec.Address.Zipcode)},
		Location: Location{Lat: rec.Address.Coord[1], Lon: rec.Address.Coord[0]},
		Status:   StatusOpen,
	}}
	if errs := r.Validate(); len(errs) > 0 {
		return Restaurant{}, l.bad("%s", inWords(errs[0]))
	}
	return r, nil
}

// tidy makes one space of several: "West   57 Street" is how such files are.
func tidy(s string) string { return strings.Join(strings.Fields(s), " ") }

// hash tells whether an import says the same again.
func (s State) hash() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q %q %v %v", s.Name, s.Cuisine, s.Borough,
		s.Address.Building, s.Address.Street, s.Address.Zipcode, s.Location.Lat, s.Location.Lon))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func inWords(e hal.FieldError) string { return e.Pointer + ": " + e.Detail }
