package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// profiles are the program's, for whoever may reach them.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// serveAside serves what is asked for by a flag of its own, at an address of its
// own, until end is called, which cuts off whoever is being answered.
func serveAside(ctx context.Context, what, address string, handler http.Handler, logger *slog.Logger) (end func(), err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for --%s: %w", what, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("it is not served any more", slog.String("what", what), slog.Any("error", err))
		}
	}()
	logger.Info("served on an address of its own", slog.String("what", what), slog.String("address", listener.Addr().String()))
	return func() {
		_ = server.Close() // nothing of it is needed any more
		<-done
	}, nil
}

// loopbackAddress reports whether host:port is on this machine alone.
func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopback(host)
}
