package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
	defaultDrain      = 10 * time.Second
)

// ServerOptions configure Listen.
type ServerOptions struct {
	// Address is host:port; port 0 takes a free one.
	Address string
	// CertFile and KeyFile, given together, make the server speak TLS 1.2 and
	// up, and HTTP/2.
	CertFile, KeyFile string
	// Drain is how long requests in flight have to end once Serve's context
	// does: 10 s when 0.
	Drain time.Duration
	// Log takes what net/http complains about; nil discards it.
	Log *slog.Logger
}

// Server listens from Listen on and answers from Serve on, so that the port is
// known, and taken, before anything else starts.
type Server struct {
	listener net.Listener
	tls      *tls.Config
	drain    time.Duration
	log      *slog.Logger

	streams    context.Context // the server's life, not a call's
	endStreams context.CancelFunc
}

// Listen opens the port.
func Listen(ctx context.Context, o ServerOptions) (*Server, error) {
	s := &Server{drain: o.Drain, log: o.Log}
	if s.drain <= 0 {
		s.drain = defaultDrain
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("TLS needs a certificate and its key")
	}
	if o.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load TLS certificate: %w", err)
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.listener = listener
	s.streams, s.endStreams = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close frees the port of a server whose Serve was never called; after Serve
// there is nothing left to close.
func (s *Server) Close() error {
	s.endStreams()
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close listener: %w", err)
	}
	return nil
}

// Streams is done when the server begins to shut down. Streams have to end then,
// saying so to their clients: Shutdown waits for them and ends none.
func (s *Server) Streams() context.Context { return s.streams }

// Serve answers requests with h until ctx is done. Then it takes no more of
// them, ends Streams, waits until those in flight are answered, at most for the
// time to drain, and cuts off the rest. It returns nil when none was cut off.
func (s *Server) Serve(ctx context.Context, h http.Handler) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	defer s.endStreams()
	server := &http.Server{
		Handler:           h,
		TLSConfig:         s.tls,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	server.RegisterOnShutdown(s.endStreams)

	failed := make(chan error, 1)
	go func() {
		if s.tls != nil {
			failed <- server.ServeTLS(s.listener, "", "")
			return
		}
		failed <- server.Serve(s.listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	return s.shutdown(ctx, server, endRequests)
}

func (s *Server) shutdown(ctx context.Context, server *http.Server, endRequests context.CancelFunc) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	err := server.Shutdown(limited)
	if err == nil {
		return nil
	}
	endRequests()
	return errors.Join(fmt.Errorf("drain HTTP requests for %v: %w", s.drain, err), server.Close())
}
