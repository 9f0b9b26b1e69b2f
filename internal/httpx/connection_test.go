package httpx

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire is a raw connection to the rig.
type wire struct {
	net.Conn
	*bufio.Reader
}

func (r *rig) dial(t *testing.T) wire {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.listen(t), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return wire{conn, bufio.NewReader(conn)}
}

func (w wire) send(t *testing.T, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(w.Conn, strings.ReplaceAll(format, "\n", "\r\n"), args...); err != nil {
		t.Fatal(err)
	}
}

// receive reads one response with its body.
func (w wire) receive(t *testing.T) answer {
	t.Helper()
	res, err := http.ReadResponse(w.Reader, nil)
	if err != nil {
		t.Fatalf("read a response: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read the body of a %d: %v", res.StatusCode, err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// over fails the test unless the connection ends without another byte.
func (w wire) over(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(w.Reader); len(rest) > 0 {
		t.Fatalf("another response: %q, %v", rest, err)
	}
}

const adminHeader = "Host: x\nAuthorization: Bearer admin-token\n"

func TestChunkedBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := make(chan string, 1)
	r.act = func(_ context.Context, w http.ResponseWriter, req *http.Request) error {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return err
		}
		got <- string(raw)
		return reply(w, "{}")
	}
	w := r.dial(t)
	w.send(t, "POST /api/v1/things HTTP/1.1\n"+adminHeader+"Transfer-Encoding: chunked\n\n5\n{\"nam\n7\ne\":\"a\"}\n0\n\n")
	w.receive(t).ok(t)
	if body := <-got; body != `{"name":"a"}` {
		t.Errorf("got %q", body)
	}
	w.send(t, "POST /api/v1/things HTTP/1.1\n"+adminHeader+"Transfer-Encoding: chunked\n\n0\n\n")
	w.receive(t).is(t, 400, "missing_body")
	w.send(t, "POST /api/v1/things HTTP/1.1\n"+adminHeader+"Transfer-Encoding: chunked\n\nzz\n{}\n")
	w.receive(t).is(t, 400, "invalid_request")
	w.over(t)
}

// TestSmuggling sends bodies that look like a request: none may be taken for
// one, whatever became of the request around it.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const inner = "GET /api/v1/things HTTP/1.1\nHost: x\nAuthorization: Bearer admin-token\n\n"
	chunk := fmt.Sprintf("%x\n%s\n0\n\n", len(inner)+strings.Count(inner, "\n"), inner)

	for _, tc := range []struct{ name, head string }{
		{"a body that is no JSON", "POST /api/v1/things HTTP/1.1\n" + adminHeader},
		{"a body that nobody asked for", "DELETE /api/v1/things/t1 HTTP/1.1\n" + adminHeader},
		{"a request that is refused before its body is read", "POST /api/v1/things HTTP/1.1\nHost: x\n"},
		{"a path that does not exist", "POST /nothing HTTP/1.1\nHost: x\n"},
		{"a preflight with a body", "OPTIONS /api/v1/things HTTP/1.1\nHost: x\n"},
		{"both lengths", "POST /api/v1/things HTTP/1.1\n" + adminHeader + "Content-Length: 3\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newRig(t).dial(t)
			w.send(t, tc.head+"Transfer-Encoding: chunked\n\n"+chunk)
			first := w.receive(t)
			w.send(t, "GET /livez HTTP/1.1\nHost: x\nConnection: close\n\n")
			if second := w.receive(t); second.body != "alive" {
				t.Errorf("after %d came %d %q", first.status, second.status, second.body)
			}
			w.over(t)
		})
	}

	t.Run("two lengths are refused", func(t *testing.T) {
		t.Parallel()
		w := newRig(t).dial(t)
		w.send(t, "POST /api/v1/things HTTP/1.1\n"+adminHeader+"Content-Length: 3\nContent-Length: 4\n\nabcd")
		if got := w.receive(t); got.status != 400 {
			t.Errorf("got %d", got.status)
		}
		w.over(t)
	})
	t.Run("an encoding that is not known is refused", func(t *testing.T) {
		t.Parallel()
		w := newRig(t).dial(t)
		w.send(t, "POST /api/v1/things HTTP/1.1\n"+adminHeader+"Transfer-Encoding: xchunked\n\n0\n\n")
		if got := w.receive(t); got.status != 501 {
			t.Errorf("got %d", got.status)
		}
		w.over(t)
	})
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	const window = time.Second
	impatient := func(o *Options) { o.Limits.Read, o.Limits.Write = window, window }

	t.Run("that stop sending are answered and cut off", func(t *testing.T) {
		t.Parallel()
		w := newRig(t, impatient).dial(t)
		w.send(t, "POST /api/v1/things HTTP/1.1\n"+adminHeader+"Content-Length: 1000\n\n{\"name\":")
		if e := w.receive(t).is(t, 400, "invalid_request"); e.Message != errSlow.Text {
			t.Errorf("%+v", e)
		}
		w.over(t)
	})

	t.Run("that send a byte now and then are cut off all the same", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, impatient)
		failed := make(chan error, 1)
		r.act = func(_ context.Context, _ http.ResponseWriter, req *http.Request) error {
			_, err := io.Copy(io.Discard, req.Body)
			failed <- err
			return err
		}
		w := r.dial(t)
		w.send(t, "PUT /api/v1/uploads/u1 HTTP/1.1\n"+adminHeader+"Content-Length: 100000\n\n")
		ticks := time.NewTicker(window / 10)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				if _, err := io.WriteString(w.Conn, "x"); err != nil {
					t.Fatalf("the connection ended before the handler: %v", err)
				}
				continue
			case err := <-failed:
				if !errors.Is(err, errSlow) || err.Error() != errSlow.Text {
					t.Errorf("failed with %v", err)
				}
			}
			break
		}
	})

	t.Run("that go on sending have all the time they need", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, impatient, func(o *Options) { o.Limits.Operation = window })
		received := make(chan int64, 1)
		r.act = func(ctx context.Context, w http.ResponseWriter, req *http.Request) error {
			n, err := io.Copy(io.Discard, req.Body)
			received <- n
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			return reply(w, "{}")
		}
		w := r.dial(t)
		const parts = 10
		w.send(t, "PUT /api/v1/uploads/u1 HTTP/1.1\n"+adminHeader+"Content-Length: %d\n\n", parts*minProgress)
		ticks := time.NewTicker(window / 5)
		defer ticks.Stop()
		for range parts {
			<-ticks.C
			w.send(t, "%s", strings.Repeat("x", minProgress))
		}
		w.receive(t).ok(t)
		if n := <-received; n != parts*minProgress {
			t.Errorf("received %d", n)
		}
	})

	t.Run("that are refused cannot hold the connection with their body", func(t *testing.T) {
		t.Parallel()
		w := newRig(t, impatient).dial(t)
		w.send(t, "POST /api/v1/things HTTP/1.1\nHost: x\nContent-Length: 1000\n\n{")
		w.receive(t).is(t, 401, "unauthorized")
		w.over(t)
	})

	t.Run("that do not read are cut off", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, impatient)
		failed := make(chan error, 1)
		r.act = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
			part := strings.Repeat("x", 1<<20)
			for {
				if _, err := io.WriteString(w, part); err != nil {
					failed <- err
					return err
				}
			}
		}
		w := r.dial(t)
		w.send(t, "GET /api/v1/stream/t1 HTTP/1.1\n"+adminHeader+"\n")
		if err := within(t, "the write to fail", failed); !timedOut(err) {
			t.Errorf("failed with %v", err)
		}
	})

	t.Run("that wait for a slow handler are not cut off by the window of their body", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, impatient)
		r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
			select {
			case <-time.After(2 * window):
				return reply(w, "{}")
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		w := r.dial(t)
		for range 2 {
			w.send(t, "POST /api/v1/things HTTP/1.1\n"+adminHeader+"Content-Length: 12\n\n{\"name\":\"a\"}")
			w.receive(t).ok(t)
			w.send(t, "GET /api/v1/things HTTP/1.1\n"+adminHeader+"\n")
			w.receive(t).ok(t)
		}
	})
}
