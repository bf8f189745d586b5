package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"testing"
)

// status returns what a URL is answered with, 0 if it isn't.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Whoever is asked to stop finishes what it was asked for, and says meanwhile that
// it takes no more.
func TestARequestUnderWayIsFinished(t *testing.T) {
	p := start(t, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--city", "3")
	ready := p.said["admin restaurants"] + "readyz"
	for _, name := range []string{"storefront", "restaurants", "orders", "riders", "kernel", "door"} {
		if code := status(t, p.said["admin "+name]+"readyz"); code != http.StatusOK {
			t.Errorf("the admin port of %s at %q answers %d", name, p.said["admin "+name], code)
		}
	}
	reading, answered := make(chan struct{}), make(chan string, 1)
	body, send := io.Pipe()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.said["restaurants"]+"restaurants", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Expect", "100-continue")
	go func() {
		resp, err := (&http.Transport{ExpectContinueTimeout: patience, DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			answered <- err.Error()
			return
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		answered <- resp.Status + " " + string(text)
	}()
	<-reading // its handler runs
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says that it drains", func() bool { return status(t, ready) == http.StatusServiceUnavailable })
	if _, err := io.WriteString(send, `{"name":"Late Breakfast","location":{"lat":40.7,"lon":-74},"status":"open"}`); err != nil {
		t.Error(err)
	}
	_ = send.Close()
	if got := <-answered; !strings.HasPrefix(got, "201 ") {
		t.Errorf("a request that was under way is answered with %s", got)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("it ends with %v\n%s", err, &p.errs)
	}
	p.ended <- nil // for whoever asks again
}

// A service that runs alone is told by the environment who it is, as every service
// on the chassis is, and is found in the registry of the bus.
func TestAServiceAloneReadsTheEnvironment(t *testing.T) {
	kernel := start(t, "up", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--without-restaurants")
	for name, value := range map[string]string{
		"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "INSTANCE": "alone", "ZONE": "z7", "DRAIN_DELAY": "1ms", "LOG_FORMAT": "json", "LOG_LEVEL": "info",
	} {
		t.Setenv(name, value)
	}
	owner := start(t, "restaurants", "--data", t.TempDir(), "--city", "3", "--nats", busURL(kernel))
	var info struct{ Instance, Zone, Address string }
	fetch(t, owner.said["admin restaurants"]+"info", &info)
	if info.Instance != "alone" || info.Zone != "z7" || !strings.Contains(owner.said["restaurants"], info.Address) {
		t.Errorf("it is %+v", info)
	}
	listed := func() string {
		_, doc := exchange(t, http.MethodGet, kernel.said["discovery"]+"services/restaurants?embed=item", "")
		text, _ := json.Marshal(doc)
		return string(text)
	}
	if text := listed(); !strings.Contains(text, info.Address) || !strings.Contains(text, "z7") {
		t.Errorf("discovery says %s; it runs at %s", text, info.Address)
	}
	owner.stop()
	if text := listed(); strings.Contains(text, info.Address) {
		t.Errorf("discovery still says %s; it has left", text)
	}
	if first, _, _ := strings.Cut(owner.errs.String(), "\n"); !json.Valid([]byte(first)) {
		t.Errorf("it logs %q, and was asked for JSON", first)
	}
	kernel.stop()

	t.Setenv("DRAIN_TIMEOUT", "soon")
	if _, stderr, code := runOnce(t, "storefront", "--nats", "nats://127.0.0.1:1"); code != 2 || !strings.Contains(stderr, `DRAIN_TIMEOUT is "soon"`) {
		t.Errorf("a bad environment: exit code %d, %s", code, stderr)
	}
}
