package browser

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// webSocket serves a page by WebSocket (RFC 6455).
func (h *Handler) webSocket(w http.ResponseWriter, r *http.Request, p *page) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // ServeHTTP has checked the origin
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 10)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	h.serving.Go(func() {
		defer cancel()
		// Pages have nothing to say: whatever comes but pings ends it.
		_, _, _ = conn.Reader(ctx)
	})
	p.serve(ctx, &socket{conn: conn, timeout: h.opts.WriteTimeout})
	if ctx.Err() == nil {
		_ = conn.Close(websocket.StatusGoingAway, "come back")
	}
}

// socket writes each message as one text message.
type socket struct {
	conn    *websocket.Conn
	timeout time.Duration
	b       []byte
}

func (s *socket) write(ctx context.Context, event string, id, data []byte) error {
	// Names of events and ids need no escaping.
	s.b = append(s.b[:0], `{"event":"`...)
	s.b = append(s.b, event...)
	if id != nil {
		s.b = append(s.b, `","id":"`...)
		s.b = append(s.b, id...)
	}
	s.b = append(s.b, `","data":`...)
	s.b = append(s.b, data...)
	s.b = append(s.b, '}')
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, s.b)
}

func (*socket) flush(context.Context) error { return nil }
