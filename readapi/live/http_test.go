package live_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// server serves a journal over HTTP, and tells how each stream ended.
func server(stopping context.Context, t *testing.T, hub *live.Hub) (address string, ended <-chan error) {
	t.Helper()
	results := make(chan error, 16)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		results <- live.Stream{Hub: hub, Journal: journal, User: "u", Check: allowed, Stopping: stopping}.Serve(r.Context(), w) //nolint:contextcheck // the test ends the server's life
	}))
	s.Config.WriteTimeout = 200 * time.Millisecond
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), results
}

// fill writes more than all buffers on the way to a client hold.
func (b *book) fill() {
	b.t.Helper()
	large := stored(b.t, message(strings.Repeat("x", 500<<10)))
	for range 40 {
		b.put(journal, large)
	}
}

// dial asks for the stream and reads the head of its answer.
func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // most tests have closed it
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	return conn, reader
}

// readUntil reads until a line says want.
func readUntil(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("before %q: %v", want, err)
		}
		if strings.TrimSpace(line) == want {
			return
		}
	}
}

func soon(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the stream did not end")
	}
}

// The server's own deadline for answers does not end a stream.
func TestAStreamOutlivesTheServersDeadline(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	hub := hubOn(b, eventschematest.Sealer{}, many)
	address, ended := server(t.Context(), t, hub)
	conn, r := dial(t, address)
	readUntil(t, r, "retry: 2000")
	start := time.Now()
	for i := 0; time.Since(start) < time.Second; i++ {
		b.append(journal, message("x"))
		readUntil(t, r, fmt.Sprint("id: ", i))
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	soon(t, ended)
}

func TestAClientThatLeavesIsNoticed(t *testing.T) {
	t.Parallel()
	t.Run("while there is nothing to tell", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		address, ended := server(t.Context(), t, hubOn(b, eventschematest.Sealer{}, many))
		conn, r := dial(t, address)
		readUntil(t, r, "retry: 2000")
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		soon(t, ended)
	})
	t.Run("in the middle of a write", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hub := hubOn(b, eventschematest.Sealer{}, many)
		b.fill()
		address, ended := server(t.Context(), t, hub)
		conn, r := dial(t, address)
		readUntil(t, r, "id: 0")
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		soon(t, ended)
	})
	t.Run("or does not read, when the server stops", func(t *testing.T) {
		t.Parallel()
		b := newBook(t)
		hub := hubOn(b, eventschematest.Sealer{}, many)
		b.fill()
		stopping, stop := context.WithCancel(t.Context())
		address, ended := server(stopping, t, hub)
		_, r := dial(t, address)
		readUntil(t, r, "id: 0")
		start := time.Now()
		stop()
		soon(t, ended)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the stream ended after %s", took)
		}
	})
}
