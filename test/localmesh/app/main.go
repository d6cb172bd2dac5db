// Command app is every application of a local mesh. Its public port answers as
// catalog, order, inventory, payment or shipping would; its control port is the
// tests' hand inside the application: it makes the application call others
// through its own sidecar, and tells what was received.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var c config
	flag.StringVar(&c.service, "service", "", "name of the service")
	flag.StringVar(&c.version, "version", "", "version of the service")
	flag.StringVar(&c.listen, "listen", "", "address of the public port")
	flag.StringVar(&c.control, "control", "", "address of the control port")
	flag.StringVar(&c.proxy, "proxy", "", "URL of the sidecar's outbound proxy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

type config struct {
	service, version, listen, control, proxy string
}

func run(ctx context.Context, c config) error {
	proxy, err := url.Parse(c.proxy)
	if err != nil {
		return fmt.Errorf("--proxy %q: %w", c.proxy, err)
	}
	app := newService(c.service, c.version)
	caller := newCaller(proxy)
	errs := make(chan error, 2)
	servers := []*http.Server{
		{Addr: c.listen, Handler: app, ReadHeaderTimeout: 10 * time.Second},
		{Addr: c.control, Handler: control(app, caller), ReadHeaderTimeout: 10 * time.Second},
	}
	for _, s := range servers {
		l, err := net.Listen("tcp", s.Addr)
		if err != nil {
			return err
		}
		go func() { errs <- s.Serve(l) }()
		defer s.Close()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-errs:
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}
