package rabbitbus

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// broker is a RabbitMQ node of a test's own, which the test may kill.
type broker struct {
	script, dir string
	env         []string
	port        int

	cmd  *exec.Cmd
	out  *output
	gone chan struct{} // closed when the process has ended
}

// output is what the node's process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.b.String()
	return s[max(0, len(s)-2000):]
}

// programs finds the node's start script and the Erlang port mapper. What Debian
// has in the PATH for the first is a wrapper that changes the user and the place.
func programs(t *testing.T) (script, epmd string) {
	t.Helper()
	find := func(what string, places ...string) string {
		for _, place := range places {
			found, _ := filepath.Glob(place)
			if len(found) > 0 {
				return found[len(found)-1]
			}
		}
		if path, err := exec.LookPath(what); err == nil {
			return path
		}
		why := what + " is not installed: no broker was killed"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
		return ""
	}
	return find("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server"),
		find("epmd", "/usr/lib/erlang/erts-*/bin/epmd")
}

// newBroker starts a node with further lines of configuration and stops it with
// the test.
func newBroker(t *testing.T, config ...string) *broker {
	t.Helper()
	script, epmd := programs(t)
	dir := t.TempDir()
	ports := freePorts(t, 3)
	for name, text := range map[string]string{"rabbitmq.conf": strings.Join(config, "\n") + "\n", "plugins": "[].\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := &broker{script: script, dir: dir, port: ports[0], env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8",
		"RABBITMQ_NODENAME=swale-" + strings.ToLower(rand.Text()[:8]) + "@localhost",
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"), "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_LOGS=-",
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"), "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=" + strconv.Itoa(ports[0]),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(ports[1]), "ERL_EPMD_PORT=" + strconv.Itoa(ports[2]), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
	}}
	// The node would start a port mapper itself, one that stays.
	mapper := exec.CommandContext(context.WithoutCancel(t.Context()), epmd, "-port", strconv.Itoa(ports[2]), "-address", "127.0.0.1")
	if err := mapper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = mapper.Process.Kill()
		_ = mapper.Wait()
	})
	t.Cleanup(func() { b.end(t, syscall.SIGKILL) })
	b.start(t)
	return b
}

// freePorts returns ports for servers that come back where they were. They are
// below those that the system gives to whoever connects, of which one could be
// somebody's connection by the time that the server wants it.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for tries := 0; len(ports) < n; tries++ {
		port := 10_000 + mathrand.IntN(20_000)
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
		switch {
		case err == nil:
			defer func() { _ = l.Close() }() // held until all are found
			ports = append(ports, port)
		case tries > 1000:
			t.Fatal(err)
		}
	}
	return ports
}

func (b *broker) url() string { return fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", b.port) }

// start starts the node and waits until it talks AMQP.
func (b *broker) start(t *testing.T) {
	t.Helper()
	out, gone := new(output), make(chan struct{})
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), b.script)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = b.env, b.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the script's child is the node
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.cmd, b.out, b.gone = cmd, out, gone
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	over := time.After(2 * enough)
	for {
		conn, err := amqp.DialConfig(b.url(), amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-gone:
			t.Fatalf("the node ended by itself:\n%s", out.tail())
		case <-over:
			t.Fatalf("the node isn't there after %v: %v\n%s", 2*enough, err, out.tail())
		}
	}
}

// end ends the node, by SIGKILL as a crash does or by SIGTERM in order, and waits
// until it is gone.
func (b *broker) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if b.cmd == nil {
		return
	}
	if err := syscall.Kill(-b.cmd.Process.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal %v to the node: %v", signal, err)
	}
	select {
	case <-b.gone:
	case <-time.After(enough):
		t.Errorf("the node is still there %v after %v", enough, signal)
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		<-b.gone
	}
	b.cmd = nil
}
