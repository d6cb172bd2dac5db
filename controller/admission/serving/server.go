package serving

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/gate"
)

// Server answers the API server.
type Server struct {
	http  http.Server
	drain time.Duration
	ends  atomic.Bool
}

// Options of a server.
type Options struct {
	Certificates *Holder
	// Clients, where set, are the roots of those who may ask: API servers that have a
	// certificate for webhooks (kubeConfigFile of an AdmissionConfiguration).
	Clients *x509.CertPool
	// Drain is how long it goes on when it ends, without taking a connection for more
	// than one answer.
	Drain time.Duration
	Log   *slog.Logger
}

// How many connections there are at most, and of one address. An API server has one for
// each write that it is about to admit, 600 unless it is told otherwise
// (--max-requests-inflight and --max-mutating-requests-inflight).
const maxConnections, maxPerAddress = 2048, 1024

// NewServer serves a handler with the certificate of a holder.
func NewServer(h http.Handler, opt Options) *Server {
	s := &Server{drain: opt.Drain}
	s.http = http.Server{
		Handler: s.closing(h), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout:    2 * time.Minute, // longer than the 90 s for which the API server keeps a connection
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(opt.Log.Handler(), slog.LevelWarn),
		ConnState: gate.New(maxConnections, maxPerAddress).State,
		// The API server speaks HTTP/1.1 to webhooks (apiserver/pkg/util/webhook).
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: opt.Certificates.Get},
	}
	if opt.Clients != nil {
		s.http.TLSConfig.ClientAuth, s.http.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, opt.Clients
	}
	return s
}

// Ending reports whether no new connections should come.
func (s *Server) Ending() bool { return s.ends.Load() }

// closing ends each connection with its next answer while the server ends. Closing
// those that are idle at once could meet a request on its way, and a POST is not sent
// again.
func (s *Server) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Ending() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Serve serves until ctx ends, and drains.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		s.ends.Store(true)
		time.Sleep(s.drain) // endpoints follow the readiness probe
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.http.Shutdown(end) // what is left is cut off
	})
	err := s.http.ServeTLS(l, "", "")
	if !stop() {
		<-done
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving reviews: %w", err)
	}
	return nil
}
