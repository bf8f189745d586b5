package discoverysvc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// stream is a response of server-sent events. Those who push never wait: a
// reader that is too slow is cut off, and begins again with everything.
type stream struct {
	w       http.ResponseWriter
	ctx     context.Context
	cancel  context.CancelCauseFunc
	forgets func() bool // that the server may close

	mu     sync.Mutex
	buffer bytes.Buffer
	wake   chan struct{}
}

const maxBacklog = 32 << 20 // bytes that a slow reader may be behind

var (
	errSlowReader = errors.New("discoverysvc: the reader is too slow")
	errClosing    = errors.New("discoverysvc: the server closes")
)

func (s *Server) stream(w http.ResponseWriter, r *http.Request) *stream {
	st := &stream{w: w, wake: make(chan struct{}, 1)}
	st.ctx, st.cancel = context.WithCancelCause(r.Context())
	st.forgets = context.AfterFunc(s.ctx, func() { st.cancel(errClosing) })
	return st
}

// push adds an event. It doesn't block.
func (st *stream) push(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		st.cancel(err)
		return
	}
	st.mu.Lock()
	fmt.Fprintf(&st.buffer, "event: %s\ndata: %s\n\n", name, data)
	over := st.buffer.Len() > maxBacklog
	st.mu.Unlock()
	if over {
		st.cancel(errSlowReader)
	}
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// watch runs f, which pushes, and writes until either ends.
func (st *stream) watch(f func(context.Context) error) {
	header := st.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // for proxies that would hold events back
	st.w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(st.w)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		st.cancel(f(st.ctx))
	}()
	defer func() {
		st.forgets()
		st.cancel(nil)
		<-ended
		_ = control.SetWriteDeadline(time.Time{})
	}()
	// A blank line says in time that the stream stands though nothing happens.
	_, _ = io.WriteString(st.w, ": \n\n")
	_ = control.Flush()
	for {
		select {
		case <-st.wake:
		case <-st.ctx.Done():
			return
		}
		st.mu.Lock()
		data := bytes.Clone(st.buffer.Bytes())
		st.buffer.Reset()
		st.mu.Unlock()
		_ = control.SetWriteDeadline(time.Now().Add(heartbeatPatience))
		if _, err := st.w.Write(data); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
}

// event is one server-sent event.
type event struct {
	name string
	data []byte
}

var errTooLong = errors.New("discoverysvc: an event is longer than is read")

// events reads a stream and hands on each event, until it ends or f fails.
func events(r io.Reader, f func(event) error) error {
	in := bufio.NewReader(r)
	var e event
	for {
		line, err := readLine(in)
		if err != nil {
			return err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			e.name = string(value)
		case "data":
			e.data = append(e.data, value...)
		case "":
			if len(line) > 0 || e.name == "" {
				continue // a comment, or nothing
			}
			if err := f(e); err != nil {
				return err
			}
			e = event{}
		}
	}
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxEvent:
			return nil, errTooLong
		}
	}
}
