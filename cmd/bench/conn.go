package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// exchangeBound is how long one request may take.
const exchangeBound = 30 * time.Second

// conn is one kept-alive HTTP/1.1 connection, used by one goroutine at a time. It
// costs the machine less than http.Client does, and so takes less of what is
// being measured.
type conn struct {
	net.Conn

	r *bufio.Reader
}

// reply is an answer's head, and its body when it was asked for.
type reply struct {
	status  int
	lagging bool
	body    []byte
}

func dial(ctx context.Context, address string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &conn{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

// request is a request as bytes, to be sent any number of times.
func request(method, address, path, body string, header ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, address)
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	return b.Bytes()
}

// send sends a request and reads the head of its answer.
func (c *conn) send(request []byte) (*http.Response, error) {
	if err := c.SetDeadline(time.Now().Add(exchangeBound)); err != nil {
		return nil, fmt.Errorf("set a deadline: %w", err)
	}
	if _, err := c.Write(request); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	return res, nil
}

// exchange sends a request and reads its answer, which must be a success. The
// body is kept only if keep says so.
func (c *conn) exchange(request []byte, keep bool) (reply, error) {
	res, err := c.send(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	a := reply{status: res.StatusCode, lagging: res.Header.Get("X-Read-Model") != ""}
	if keep || a.status != http.StatusOK {
		a.body, err = io.ReadAll(res.Body)
	} else {
		_, err = io.Copy(io.Discard, res.Body)
	}
	if err == nil && a.status != http.StatusOK {
		line, _, _ := strings.Cut(string(request), " HTTP/1.1")
		err = fmt.Errorf("%s: %d %s", line, a.status, a.body)
	}
	return a, err
}
