package main_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// relay is a way to something that can be cut and mended.
type relay struct {
	t       *testing.T
	address string
	dial    func(context.Context) (net.Conn, error)

	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
}

func newRelay(t *testing.T, dial func(context.Context) (net.Conn, error)) *relay {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, address: listener.Addr().String(), dial: dial, open: map[net.Conn]bool{}}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { r.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // it ends with the test
		r.set(true)
		conns.Wait()
	})
	return r
}

// set cuts the way, or mends it. What was open when it was cut is closed.
func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for conn := range r.open {
		if cut {
			_ = conn.Close() // its carriers notice
		}
	}
}

// enter notes an open connection, unless the way is cut.
func (r *relay) enter(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		if !r.cut {
			r.open[conn] = true
		}
	}
	return !r.cut
}

func (r *relay) pass(client net.Conn) {
	defer func() { _ = client.Close() }() // closed before, if the way was cut
	server, err := r.dial(context.WithoutCancel(r.t.Context()))
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }() // as above
	if !r.enter(client, server) {
		return
	}
	var both sync.WaitGroup
	for to, from := range map[net.Conn]net.Conn{client: server, server: client} {
		both.Go(func() {
			_, _ = io.Copy(to, from) // either end may leave
			_, _ = to.Close(), from.Close()
		})
	}
	both.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, client)
	delete(r.open, server)
}
