package hal_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goswale/swale/hal"
)

func TestMuxAnswersWithProblems(t *testing.T) {
	var heard []string
	mux := hal.NewMux(&hal.MuxOptions{OnError: func(r *http.Request, err error) {
		heard = append(heard, r.URL.Path+" "+err.Error())
	}})
	mux.Handle("GET /fine", func(w http.ResponseWriter, r *http.Request) error {
		return hal.Write(w, r, http.StatusOK, struct{}{}, nil)
	})
	mux.Handle("GET /known", func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("while reading: %w", hal.NewProblem(http.StatusGone, "It has gone."))
	})
	mux.Handle("GET /unknown", func(http.ResponseWriter, *http.Request) error {
		return errors.New("the password is wrong")
	})
	for _, tt := range []struct {
		method, path string
		status       int
		says, allow  string
	}{
		{"GET", "/fine", 200, "{}", ""},
		{"GET", "/known", 410, "It has gone.", ""},
		{"GET", "/unknown", 500, "", ""},
		{"GET", "/nowhere", 404, "", ""},
		{"DELETE", "/fine", 405, "DELETE isn't allowed here", "GET, HEAD"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, http.NoBody))
		body := w.Body.String()
		if w.Code != tt.status || !strings.Contains(body, tt.says) || strings.Contains(body, "password") || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s gave %d, Allow %q, %s; want %d, %q and a word about %q", tt.method, tt.path, w.Code, w.Header().Get("Allow"), body, tt.status, tt.allow, tt.says)
		}
		if kind := w.Header().Get("Content-Type"); tt.status >= 400 && kind != hal.ProblemType {
			t.Errorf("%s %s: a %d is answered as %s", tt.method, tt.path, w.Code, kind)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, "GET", "/unknown", http.NoBody))
	if want := "/unknown the password is wrong"; len(heard) != 1 || heard[0] != want {
		t.Errorf("heard of %q; want only what clients that are there are told nothing of, %q", heard, want)
	}
}
