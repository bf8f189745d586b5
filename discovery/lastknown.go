package discovery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// ErrCopy is wrapped by errors about a last known view on disk that can't be
// used: it was changed, cut short, may be changed by others, or is too old.
var ErrCopy = errors.New("discovery: the last known view on disk")

// copyFormat begins the file, before the checksum of the rest.
const copyFormat = "swale-discovery-1"

const (
	// beginAfter is how long a watch waits for the store before it begins with
	// what was known last.
	beginAfter = time.Second
	// copyEvery bounds how often a copy is written, copyAgain is how often it is
	// without a change, since its age counts.
	copyEvery = time.Second
	copyAgain = 10 * time.Minute
)

// saved is a view on disk: the records as the store had them, so that proofs
// count as they do there.
type saved struct {
	Service string        `json:"service"`
	AsOf    time.Time     `json:"asOf"`
	Records []savedRecord `json:"records"`
}

type savedRecord struct {
	Kind    driver.Kind `json:"kind"`
	Service string      `json:"service"`
	ID      string      `json:"id"`
	Value   []byte      `json:"value"`
}

// copyFile is where the view of a service is kept; of all services if it is
// empty.
func (r *Registry) copyFile(service string) string {
	return filepath.Join(r.opts.LastKnown, "discovery-"+cmpOr(service, "-all")+".json") // no service begins with '-'
}

// keepCopy begins with the last known view if the store can't be reached soon,
// and writes what is known after each change and now and then, until ctx ends.
func (f *feed) keepCopy(ctx context.Context) {
	begin, again := time.NewTimer(beginAfter), time.NewTicker(copyAgain)
	defer begin.Stop()
	defer again.Stop()
	unreached, late := f.unreached, begin.C
	for {
		select {
		case <-late:
			f.begin()
			unreached, late = nil, nil
			continue
		case <-unreached:
			f.begin()
			unreached, late = nil, nil
			continue
		case <-f.dirty:
		case <-again.C:
		case <-ctx.Done():
			f.save()
			return
		}
		f.save()
		pause := time.NewTimer(copyEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// signal puts one into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin takes the view on disk for the last known one, unless the store has
// said something already.
func (f *feed) begin() {
	f.mu.Lock()
	known := f.known
	f.mu.Unlock()
	if known {
		return
	}
	name := f.registry.copyFile(f.view.Service)
	s, err := readCopy(name, f.registry.opts.LastKnownFor)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		f.registry.log.Warn("discovery copy not used", "service", f.view.Service, "error", err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known {
		return
	}
	for _, r := range s.Records {
		key, err := driver.ParseKey(string(r.Kind), r.Service, r.ID)
		if err == nil {
			f.take(driver.Record{Key: key, Value: r.Value}, true)
		}
	}
	f.known = true
	f.view.Instances = f.shown()
	f.view.Live, f.view.FromDisk, f.view.AsOf = false, true, s.AsOf
	if f.view.Err == nil {
		f.view.Err = fmt.Errorf("discovery: the store hasn't been reached yet; this is what was known at %s", s.AsOf.Format(time.RFC3339))
	}
	f.registry.log.Warn("discovery begins with the last known view", "service", f.view.Service, "instances", len(f.view.Instances), "asOf", s.AsOf)
	f.tell()
}

// save writes what is known, unless that is what the file says already.
func (f *feed) save() {
	f.mu.Lock()
	if !f.known || f.view.FromDisk {
		f.mu.Unlock()
		return
	}
	s := saved{Service: f.view.Service, AsOf: f.view.AsOf.UTC()}
	for key, e := range f.instances {
		if e.instance != nil {
			s.Records = append(s.Records, savedRecord{key.Kind, key.Service, key.ID, e.value})
		}
	}
	for key, m := range f.marks {
		s.Records = append(s.Records, savedRecord{driver.Marks, key.Service, key.ID, m.value})
	}
	f.mu.Unlock()
	if err := writeCopy(f.registry.copyFile(s.Service), s); err != nil {
		f.registry.log.Warn("discovery copy not written", "service", s.Service, "error", err)
	}
}

// writeCopy replaces the file: a reader sees the old one or the new one, whole,
// whenever the process dies.
func writeCopy(name string, s saved) error {
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	t, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // with mode 0600
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	sum := sha256.Sum256(body)
	_, err = fmt.Fprintf(t, "%s %s\n%s", copyFormat, hex.EncodeToString(sum[:]), body)
	err = errors.Join(err, t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), name)
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	return nil
}

// readCopy reads what writeCopy wrote, if that isn't older than most. The error
// matches fs.ErrNotExist where there is nothing.
func readCopy(name string, most time.Duration) (saved, error) {
	var s saved
	info, err := os.Stat(name)
	if err != nil {
		return s, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return s, fmt.Errorf("%w: %s may be read or changed by others (mode %v)", ErrCopy, name, info.Mode().Perm())
	}
	text, err := os.ReadFile(name) //nolint:gosec // a service's name is a DNS label
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrCopy, err)
	}
	head, body, _ := bytes.Cut(text, []byte("\n"))
	format, checksum, _ := strings.Cut(string(head), " ")
	if sum := sha256.Sum256(body); format != copyFormat || checksum != hex.EncodeToString(sum[:]) {
		return s, fmt.Errorf("%w: %s was changed or cut short: its checksum is wrong", ErrCopy, name)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("%w: %s: %w", ErrCopy, name, err)
	}
	if age := time.Since(s.AsOf); age > most {
		return s, fmt.Errorf("%w: %s is %v old, which is more than %v", ErrCopy, name, age.Round(time.Second), most)
	}
	return s, nil
}
