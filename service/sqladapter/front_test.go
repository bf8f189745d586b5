package sqladapter_test

import (
	"context"
	"io"
	"maps"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// front is a PostgreSQL server's front door at an address of its own: it asks for a
// password, whatever the server behind it does, counts, and can be shut.
type front struct {
	t        *testing.T
	listener net.Listener
	behind   string
	work     sync.WaitGroup

	mu        sync.Mutex
	passwords map[string]string
	shut      bool
	conns     map[net.Conn]bool
	accepted  int
	refused   int
}

func newFront(t *testing.T, behind, user, password string) *front {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, listener: l, behind: behind, passwords: map[string]string{user: password}, conns: map[net.Conn]bool{}}
	f.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.work.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.close(true)
		f.work.Wait()
	})
	return f
}

// url is the database as it is reached here.
func (f *front) url() string {
	return "postgres://" + f.listener.Addr().String() + "/any?sslmode=disable"
}

// allow sets who may come in.
func (f *front) allow(passwords map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passwords = maps.Clone(passwords)
}

// close shuts the door and ends all connections, or opens it again.
func (f *front) close(shut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut = shut
	if shut {
		for c := range f.conns {
			_ = c.Close()
		}
	}
}

// open is how many are connected, counts how many ever were, and how many weren't let in.
func (f *front) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

func (f *front) counts() (accepted, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted, f.refused
}

func (f *front) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	f.mu.Lock()
	if f.shut {
		f.mu.Unlock()
		return
	}
	f.conns[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, c)
	}()
	b := pgproto3.NewBackend(c, c)
	first, err := b.ReceiveStartupMessage()
	start, ok := first.(*pgproto3.StartupMessage)
	if err != nil || !ok {
		return // a request to cancel is of no use to the tests
	}
	b.Send(&pgproto3.AuthenticationCleartextPassword{})
	if b.Flush() != nil || b.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
		return
	}
	said, err := b.Receive()
	password, ok := said.(*pgproto3.PasswordMessage)
	if err != nil || !ok {
		return
	}
	f.mu.Lock()
	want, known := f.passwords[start.Parameters["user"]]
	if !known || want != password.Password {
		f.refused++
		f.mu.Unlock()
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"})
		_ = b.Flush()
		return
	}
	f.accepted++
	f.mu.Unlock()
	f.pipe(c, b)
}

// pipe connects with the server.
func (f *front) pipe(c net.Conn, b *pgproto3.Backend) {
	opened, err := pgconn.Connect(context.Background(), f.behind)
	if err != nil {
		f.t.Errorf("the server behind: %v", err)
		return
	}
	server, err := opened.Hijack()
	if err != nil {
		f.t.Error(err)
		return
	}
	defer func() { _ = server.Conn.Close() }()
	b.Send(&pgproto3.AuthenticationOk{})
	for name, value := range server.ParameterStatuses {
		b.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	b.Send(&pgproto3.BackendKeyData{ProcessID: server.PID, SecretKey: server.SecretKey})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	var done sync.WaitGroup
	done.Go(func() {
		_, _ = io.Copy(server.Conn, c)
		_ = server.Conn.Close()
	})
	// Through the frontend, for it may have a read under way.
	for {
		m, err := server.Frontend.Receive()
		if err != nil {
			break
		}
		b.Send(m)
		if b.Flush() != nil {
			break
		}
	}
	_ = c.Close()
	_ = server.Conn.Close()
	done.Wait()
}
