package esnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

const (
	unixScheme = "unix:"
	// maxSocketPath is what a socket's address holds on Linux, with its zero.
	maxSocketPath = 107
	socketMode    = 0o600
)

// isLocal tells whether only this host can reach the address.
func isLocal(address string) (bool, error) {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		if path == "" || len(path) > maxSocketPath {
			return false, fmt.Errorf("the socket's path %q has %d bytes, it must have 1 to %d", path, len(path), maxSocketPath)
		}
		return true, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("the address to listen on: %w", err)
	}
	if host == "localhost" {
		return true, nil
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback(), nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		return listenUnix(ctx, path)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the event store: %w", err)
	}
	// A name is local only if it is so where it leads to.
	if local, _ := isLocal(address); local && !isLoopback(l.Addr()) {
		return nil, errors.Join(fmt.Errorf("%s leads to %s, which other hosts can reach", address, l.Addr()), l.Close())
	}
	return l, nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// listenUnix makes a socket that only its owner may connect to.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := removeDeadSocket(ctx, path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// On Linux a socket's file gets the mode that the socket has when it is
		// bound, so that there is no moment in which others may connect. Where
		// that is not so, Chmod below sees to it.
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), socketMode) })
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the event store: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the event store's socket: %w", err), l.Close())
	}
	return l, nil
}

// removeDeadSocket removes what a killed process has left. A socket that answers
// is somebody's, and a file that is no socket is not ours.
func removeDeadSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the event store's socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s is in use", path), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("look at the event store's socket: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a dead socket: %w", err)
	}
	return nil
}
