package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/agent/fetch"
	"github.com/mesh-compile/mesh-compile/agent/identity"
)

const identityFile = "identity.pem"

// restoreCredential reads the stored certificate. A damaged one is as good as
// none: the controller gives another.
func (a *Agent) restoreCredential() {
	data, err := a.store.Read(identityFile)
	if err == nil && data == nil {
		return
	}
	var c *identity.Credential
	if err == nil {
		c, err = identity.Decode(data)
	}
	if err != nil {
		a.config.Log.Error("the stored certificate is lost", "error", err)
		return
	}
	a.change(func() { a.credential = c })
}

// keepIdentity gets the first certificate and renews it half way through.
func (a *Agent) keepIdentity(ctx context.Context) error {
	backoff := fetch.Backoff{First: 250 * time.Millisecond, Last: 30 * time.Second}
	for {
		if c := a.currentCredential(); c != nil && !sleepUntil(ctx, c.RenewAt(rand.Float64())) {
			return nil
		}
		if a.config.Controller == "" {
			<-ctx.Done()
			return nil
		}
		err := a.renew(ctx)
		if err == nil && lasts(a.currentCredential(), time.Now()) {
			backoff.Reset()
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.config.Log.Warn("no new certificate", "error", err)
			a.change(func() { a.status.IdentityError = err.Error() })
		}
		if !backoff.Wait(ctx) {
			return nil
		}
	}
}

// lasts reports whether a new certificate need not be renewed at once. An issuer
// whose root is about to expire gives such, and a hostile one may: asking again
// without a pause would keep the agent, and the issuer, busy with nothing else.
func lasts(c *identity.Credential, now time.Time) bool { return now.Before(c.RenewAt(0)) }

func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (a *Agent) currentCredential() (c *identity.Credential) {
	a.view(func() { c = a.credential })
	return c
}

// renew gets one certificate and puts it to use.
func (a *Agent) renew(ctx context.Context) error {
	config, err := a.tlsConfig(a.config.CAName)
	if err != nil {
		return err
	}
	have := a.currentCredential()
	request, err := a.request(have)
	if err != nil {
		return err
	}
	chain, err := a.issue(ctx, config, have, request)
	if err != nil {
		return err
	}
	want := identity.Expect{Roots: config.RootCAs, Now: time.Now()}
	a.view(func() { want.TrustDomain = a.root.Document().TrustDomain })
	if have != nil {
		want.SPIFFEID = have.SPIFFEID
	}
	next, err := request.Accept(chain, want)
	if err != nil {
		return err
	}
	if err := a.store.Write(identityFile, next.Encode()); err != nil {
		return err
	}
	a.config.Log.Info("has a certificate", "spiffe_id", next.SPIFFEID, "until", next.Leaf.NotAfter)
	a.change(func() { a.credential, a.status.IdentityError = next, "" })
	return a.serveSecrets()
}

// issue asks the CA. The certificate in hand proves who we are while it is valid,
// and the token does before and after, and where the certificate is not believed:
// in Kubernetes a token of the pod proves that the pod is still there.
func (a *Agent) issue(ctx context.Context, config *tls.Config, have *identity.Credential, r *identity.Request) ([][]byte, error) {
	valid := have != nil && time.Now().Before(have.Leaf.NotAfter)
	var failed error
	for _, byToken := range []bool{a.tokenFirst, !a.tokenFirst} {
		if !byToken && !valid || byToken && valid && a.config.TokenFile == "" {
			continue
		}
		chain, err := a.ask(ctx, config.Clone(), r, byToken)
		if err == nil {
			a.tokenFirst = byToken && valid // what was believed will be again
			return chain, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// ask proves who we are in one way.
func (a *Agent) ask(ctx context.Context, config *tls.Config, r *identity.Request, byToken bool) ([][]byte, error) {
	token := ""
	if byToken {
		var err error
		if token, err = a.token(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = nil
	}
	client, err := fetch.Dial(a.config.CA, config)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Issue(ctx, r.CSR, token)
}

const requestFile = "request.pem"

// request returns the request that was made and not answered, or a new one.
func (a *Agent) request(have *identity.Credential) (*identity.Request, error) {
	if data, err := a.store.Read(requestFile); err == nil && data != nil {
		if r, err := identity.DecodeRequest(data); err == nil && !r.Answered(have) {
			return r, nil
		}
	}
	r, err := identity.NewRequest()
	if err != nil {
		return nil, err
	}
	data, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return r, a.store.Write(requestFile, data)
}

// maxToken bounds a token; a Kubernetes token has about 1 KiB.
const maxToken = 16 << 10

// token reads the token anew: who projects it into the pod replaces it before it
// expires.
func (a *Agent) token() (string, error) {
	if a.config.TokenFile == "" {
		return "", fmt.Errorf("reading the join token: there is no certificate, and no token file is configured")
	}
	data, err := os.ReadFile(a.config.TokenFile)
	if err != nil {
		return "", fmt.Errorf("reading the join token: %w", err)
	}
	if len(data) > maxToken {
		return "", fmt.Errorf("reading the join token %s: %d bytes are no token", a.config.TokenFile, len(data))
	}
	return strings.TrimSpace(string(data)), nil
}

// tlsConfig is for a server that has name in its certificate.
func (a *Agent) tlsConfig(name string) (*tls.Config, error) {
	roots, err := a.roots()
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", name, err)
	}
	return identity.ServerConfig(name, roots, a.currentCredential), nil
}

// serveSecrets gives Envoy the certificate and the roots in force. Envoy is
// answered only when both are there.
func (a *Agent) serveSecrets() error {
	var c *identity.Credential
	var roots []byte
	a.view(func() {
		c = a.credential
		if r := a.current(); r != nil {
			roots = r.TrustBundle
		}
	})
	if c == nil {
		return nil
	}
	secrets, err := identity.Secrets(c, roots)
	if err != nil {
		return err
	}
	a.xds.SetSecrets(append(secrets, a.fileSecrets()...))
	return nil
}
