package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// listen opens a TCP port. What is the name of the flag that chooses it.
func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program: stop it, or choose another address with --%s, for example --%s 127.0.0.1:0 for any free port (%w)", address, flag, flag, err)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w; an address is HOST:PORT, such as 127.0.0.1:8080", flag, address, err)
	}
	return l, nil
}

// after returns the address with a port that is n higher; port 0, any, stays
// any.
func after(address string, n int) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address // whoever listens will say what is wrong
	}
	if p, err := strconv.Atoi(port); err == nil && p > 0 {
		port = strconv.Itoa(p + n)
	}
	return net.JoinHostPort(host, port)
}

// baseURL returns where clients on this machine reach a listener.
func baseURL(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "http://" + l.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// ports are those of one service.
type ports struct{ public, admin net.Listener }

// listen opens the ports of all services, so that one in use is told of before
// anything is started. Who is given them closes them; the rest is closed with the
// process's own.
func (s *System) listen(ctx context.Context) error {
	o := &s.opts
	s.ports = make(map[string]ports)
	services := []struct {
		name, flag, address string
		distance            int // from the storefront's port
		left                bool
	}{
		{"storefront", "listen", o.Listen, 0, o.NoStorefront},
		{"restaurants", "restaurants-listen", o.RestaurantsListen, 1, o.NoRestaurants},
		{"kernel", "kernel-listen", o.KernelListen, 3, !o.Kernel},
		{"door", "door-listen", o.DoorListen, 4, !o.Kernel},
		{"orders", "orders-listen", o.OrdersListen, 5, !o.Delivery},
		{"riders", "riders-listen", o.RidersListen, 6, !o.Delivery},
		{"liveops", "live-listen", o.LiveListen, 7, !o.Delivery},
	}
	for _, c := range services {
		if c.left {
			continue
		}
		if o.NoStorefront && !o.Kernel {
			c.flag, c.distance = "listen", 0 // it runs alone
		}
		public, err := s.open(ctx, c.address, c.flag)
		if err != nil {
			return err
		}
		p := ports{public: public}
		if o.AdminListen != "off" {
			address := after(o.AdminListen, c.distance)
			if o.AdminListen == "" {
				address = beside(public, c.address)
			}
			if p.admin, err = s.open(ctx, address, "admin-listen"); err != nil {
				return err
			}
		}
		s.ports[c.name] = p
	}
	return nil
}

func (s *System) open(ctx context.Context, address, flag string) (net.Listener, error) {
	l, err := listen(ctx, address, flag)
	if err == nil {
		s.held = append(s.held, func() error {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return l, err
}

// beside returns the address of the admin port of a service that was told to
// listen on address: out of reach from other machines.
func beside(l net.Listener, address string) string {
	port := "0"
	if _, asked, err := net.SplitHostPort(address); err == nil && asked != "0" {
		_, port, _ = net.SplitHostPort(l.Addr().String())
	}
	return after(net.JoinHostPort("127.0.0.1", port), 10)
}

// url is where a service of this process is.
func (s *System) url(name string) string { return baseURL(s.ports[name].public) + "/" }
