package rabbitbus

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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

	"github.com/goswale/swale/bus/bustest"
)

// broker is a RabbitMQ node of a test's own, which the test may kill.
type broker struct {
	script, dir string
	env         []string
	node        string // its name
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
	b := newBrokers(t, 1, config...)[0]
	b.start(t)
	return b
}

// newBrokers returns nodes that know each other, and are to be started.
func newBrokers(t *testing.T, n int, config ...string) []*broker {
	t.Helper()
	script, epmd := programs(t)
	dir := t.TempDir()
	ports := bustest.FreePorts(t, 1+2*n)
	family := "swale-" + strings.ToLower(rand.Text()[:8])
	if n > 1 {
		config = append(config, "cluster_formation.peer_discovery_backend = classic_config")
		for i := range n {
			config = append(config, fmt.Sprintf("cluster_formation.classic_config.nodes.%d = %s-%d@localhost", i+1, family, i))
		}
	}
	for name, text := range map[string]string{"rabbitmq.conf": strings.Join(config, "\n") + "\n", "plugins": "[].\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The nodes would start a port mapper themselves, one that stays.
	mapper := exec.CommandContext(context.WithoutCancel(t.Context()), epmd, "-port", strconv.Itoa(ports[0]), "-address", "127.0.0.1")
	if err := mapper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = mapper.Process.Kill()
		_ = mapper.Wait()
	})
	brokers := make([]*broker, n)
	for i := range brokers {
		name := fmt.Sprintf("%s-%d", family, i)
		b := &broker{script: script, dir: dir, node: name + "@localhost", port: ports[1+2*i]}
		b.env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "RABBITMQ_NODENAME=" + b.node,
			"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, name), "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_LOGS=-",
			"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE=/dev/null",
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"), "RABBITMQ_PID_FILE=" + filepath.Join(dir, name+".pid"),
			"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=" + strconv.Itoa(b.port),
			"RABBITMQ_DIST_PORT=" + strconv.Itoa(ports[2+2*i]), "ERL_EPMD_PORT=" + strconv.Itoa(ports[0]), "ERL_EPMD_ADDRESS=127.0.0.1",
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +S 2 +sbwt none +sbwtdcpu none +sbwtdio none",
		}
		brokers[i] = b
		t.Cleanup(func() { b.end(t, syscall.SIGKILL) })
	}
	return brokers
}

func (b *broker) url() string { return fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", b.port) }

// start starts the node and waits until it talks AMQP.
func (b *broker) start(t *testing.T) {
	t.Helper()
	b.launch(t)
	b.await(t)
}

func (b *broker) launch(t *testing.T) {
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
}

func (b *broker) await(t *testing.T) {
	t.Helper()
	over := time.After(2 * enough)
	for {
		conn, err := amqp.DialConfig(b.url(), amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-b.gone:
			t.Fatalf("the node ended by itself:\n%s", b.out.tail())
		case <-over:
			t.Fatalf("the node isn't there after %v: %v\n%s", 2*enough, err, b.out.tail())
		}
	}
}

// control asks the node by the operator's tool.
func (b *broker) control(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(soon(t), filepath.Join(filepath.Dir(b.script), "rabbitmqctl"), append([]string{"--quiet", "--node", b.node}, args...)...)
	cmd.Env, cmd.Dir = b.env, b.dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rabbitmqctl %q: %v\n%s", args, err, out)
	}
	return string(out)
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
