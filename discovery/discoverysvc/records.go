package discoverysvc

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/hal"
)

// recordKey reads the record that a URL names.
func recordKey(r *http.Request) (driver.Key, error) {
	k := driver.Key{Kind: driver.Kind(r.PathValue("kind")), Service: r.PathValue("service"), ID: r.PathValue("id")}
	if k.Kind != driver.Instances && k.Kind != driver.Marks || !validName(k.Service) || !validName(k.ID) {
		return k, hal.NewProblem(http.StatusNotFound, "No record can have this name.")
	}
	return k, nil
}

// validName reports whether a record's key may have this part.
func validName(id string) bool {
	for i := range len(id) {
		c := id[i] | 0x20
		if (c < 'a' || c > 'z') && (id[i] < '0' || id[i] > '9') && id[i] != '-' && id[i] != '_' {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

func (s *Server) allowRecord(r *http.Request, action Action, k driver.Key) error {
	_, err := s.allow(r, Op{Action: action, Kind: string(k.Kind), Service: k.Service, ID: k.ID})
	return err
}

func (s *Server) putRecord(w http.ResponseWriter, r *http.Request) error {
	k, err := recordKey(r)
	if err != nil {
		return err
	}
	if err := s.allowRecord(r, Register, k); err != nil {
		return err
	}
	body, err := hal.Decode[wirePut](r, &hal.DecodeOptions{MaxBytes: 256 << 10, Strict: true})
	if err != nil {
		return err
	}
	owner := r.Header.Get(ownerField)
	ttl, err := time.ParseDuration(body.TTL)
	if err != nil || ttl <= 0 || ttl > 24*time.Hour || owner == "" || len(owner) > 256 {
		return hal.NewProblem(http.StatusUnprocessableEntity, "A registration needs a ttl of up to a day, and its owner's name as "+ownerField+".")
	}
	err = s.driver.Put(r.Context(), driver.Record{Key: k, Owner: owner, Value: body.Value, TTL: ttl})
	return s.done(w, err)
}

func (s *Server) renewRecord(w http.ResponseWriter, r *http.Request) error {
	k, err := recordKey(r)
	if err != nil {
		return err
	}
	if err := s.allowRecord(r, Renew, k); err != nil {
		return err
	}
	owner := r.Header.Get(ownerField)
	if owner == "" {
		return hal.NewProblem(http.StatusUnprocessableEntity, "A lease is renewed by its owner's name, as "+ownerField+".")
	}
	return s.done(w, s.driver.Renew(r.Context(), k, owner))
}

func (s *Server) deleteRecord(w http.ResponseWriter, r *http.Request) error {
	k, err := recordKey(r)
	if err != nil {
		return err
	}
	owner, action := r.Header.Get(ownerField), Deregister
	if owner == "" {
		action = Remove
	}
	if err := s.allowRecord(r, action, k); err != nil {
		return err
	}
	return s.done(w, s.driver.Delete(r.Context(), k, owner))
}

func (s *Server) done(w http.ResponseWriter, err error) error {
	if err != nil {
		return problemOf(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// watched reads the service that a list or a stream is about.
func (s *Server) watched(r *http.Request) (string, error) {
	service := r.URL.Query().Get("service")
	if service != "" && !validName(service) {
		return "", hal.NewProblem(http.StatusBadRequest, "The parameter service is no service's name.")
	}
	_, err := s.allow(r, Op{Action: Read, Service: service})
	return service, err
}

func (s *Server) listRecords(w http.ResponseWriter, r *http.Request) error {
	service, err := s.watched(r)
	if err != nil {
		return err
	}
	records, err := s.driver.List(r.Context(), service)
	if err != nil {
		return problemOf(err)
	}
	doc := wireRecords{Records: make([]wireRecord, len(records))}
	for i, rec := range records {
		doc.Records[i] = toWire(rec)
	}
	slices.SortFunc(doc.Records, func(a, b wireRecord) int {
		return strings.Compare(a.key().String(), b.key().String())
	})
	return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{CacheControl: "no-cache"})
}

// streamRecords sends what the driver's watch sees.
func (s *Server) streamRecords(w http.ResponseWriter, r *http.Request) error {
	service, err := s.watched(r)
	if err != nil {
		return err
	}
	st := s.stream(w, r)
	st.watch(func(ctx context.Context) error { return s.driver.Watch(ctx, service, recordSink{st}) })
	return nil
}

// recordSink is a driver's sink that writes a stream.
type recordSink struct{ st *stream }

// Reset implements [driver.Sink].
func (k recordSink) Reset(records []driver.Record) {
	doc := wireRecords{Records: make([]wireRecord, len(records))}
	for i, rec := range records {
		doc.Records[i] = toWire(rec)
	}
	k.st.push("reset", doc)
}

// Put implements [driver.Sink].
func (k recordSink) Put(r driver.Record) { k.st.push("put", toWire(r)) }

// Delete implements [driver.Sink].
func (k recordSink) Delete(key driver.Key) { k.st.push("delete", toWire(driver.Record{Key: key})) }

// Current implements [driver.Sink].
func (k recordSink) Current() { k.st.push("current", struct{}{}) }
