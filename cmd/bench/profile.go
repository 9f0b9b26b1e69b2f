package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// freeAddress is a port on loopback that nobody has now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is instant
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// profiled has work done for d and writes what the server's CPU did meanwhile
// into a file of --profile, if that is asked for.
func (b *bench) profiled(ctx context.Context, d time.Duration, work func() error) error {
	if b.profile == "" {
		return work()
	}
	written := make(chan error, 1)
	b.profiles++
	name := filepath.Join(b.profile, fmt.Sprintf("%02d.pprof", b.profiles))
	go func() { written <- writeProfile(ctx, b.server.pprof, name, d) }()
	if err := work(); err != nil {
		return err
	}
	progress("wrote " + name)
	return <-written
}

func writeProfile(ctx context.Context, address, name string, d time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, int(max(math.Floor(d.Seconds()), 1)))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask for a profile: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask for a profile: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read a profile: %w", err)
	}
	return os.WriteFile(name, raw, 0o600)
}
