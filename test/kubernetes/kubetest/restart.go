package kubetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// KillAPIServer ends the API server as kill -9 does. The test calls StartAPIServer before it ends.
func (c *Cluster) KillAPIServer(t T) {
	t.Helper()
	c.apiserver.kill()
	address, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	Until(t, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address.Host)
		if err != nil {
			return nil
		}
		conn.Close()
		return errors.New("the API server still listens")
	})
}

// StartAPIServer starts the API server again, with the same address, keys and data, and waits until
// it is ready.
func (c *Cluster) StartAPIServer(t T) {
	t.Helper()
	if err := c.apiserver.start(); err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = 5 * time.Second
	Until(t, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Config.Host, "/")+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the API server is not ready: %s\n%s", resp.Status, c.apiserver.process.Tail())
		}
		return nil
	})
}
