package dialguard

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// get is how a call to rawURL ends.
func get(t *testing.T, c *http.Client, rawURL string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func TestLoopbackIsCalledOnlyWhenAllowed(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(srv.Close)

	for _, target := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), strings.Replace(srv.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		if err := get(t, Client(Policy{AllowPrivate: true}), target); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: got %v, want a refusal", target, err)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Fatalf("%d refused calls arrived", n)
	}
	if err := get(t, Client(Policy{AllowLoopback: true}), srv.URL); err != nil {
		t.Fatalf("allowed call: %v", err)
	}
}

func TestMetadataIsRefusedByTheMostOpenPolicy(t *testing.T) {
	t.Parallel()
	client := Client(Policy{AllowLoopback: true, AllowPrivate: true, AllowCrossHost: true})
	for _, target := range []string{"http://169.254.169.254/latest/meta-data/", "http://[::ffff:a9fe:a9fe]/", "http://0.0.0.0:80/"} {
		err := get(t, client, target)
		refusal, ok := errors.AsType[*RefusedError](err)
		if !ok {
			t.Errorf("%s: got %v, want a refusal", target, err)
			continue
		}
		if strings.Contains(refusal.Error(), refusal.Addr.String()) {
			t.Errorf("the refusal tells the address: %v", refusal)
		}
	}
}

// TestTheResolvedAddressDecides uses a name whose answers change, as an attacker
// who rebinds it would: public first, then loopback.
func TestTheResolvedAddressDecides(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	port := srv.Listener.Addr().(*net.TCPAddr).Port
	dns := startDNS(t, [4]byte{127, 0, 0, 1})

	dialer := Policy{}.Dialer()
	dialer.Resolver = dns
	_, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort("rebind.test.", itoa(port)))
	if !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("got %v, want a refusal of what the name resolved to", err)
	}

	dialer = Policy{AllowLoopback: true}.Dialer()
	dialer.Resolver = dns
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort("rebind.test.", itoa(port)))
	if err != nil {
		t.Fatalf("the same name where loopback is allowed: %v", err)
	}
	_ = conn.Close()
}

func TestAnAllowedAddressIsUsedWhenAnotherOfTheNameIsRefused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	dialer := Policy{AllowLoopback: true}.Dialer()
	dialer.Resolver = startDNS(t, [4]byte{169, 254, 169, 254}, [4]byte{127, 0, 0, 1})
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort("both.test.", itoa(srv.Listener.Addr().(*net.TCPAddr).Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := conn.RemoteAddr().(*net.TCPAddr).IP; !got.IsLoopback() {
		t.Fatalf("connected to %s", got)
	}
}

func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	t.Parallel()
	if Transport(Policy{}).Proxy != nil {
		t.Fatal("a transport without a proxy in its policy has one")
	}
}

func TestAProxyIsAskedOnlyForTargetsThatThePolicyAllows(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen.Store(r.URL.String()) }))
	t.Cleanup(proxy.Close)
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := Client(Policy{AllowLoopback: true, Proxy: http.ProxyURL(proxyURL)})

	if err := get(t, client, "http://169.254.169.254/"); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if v := seen.Load(); v != nil {
		t.Fatalf("the proxy was asked for %v", v)
	}
	if err := get(t, client, "http://example.test/x"); err != nil {
		t.Fatal(err)
	}
	if v := seen.Load(); v != "http://example.test/x" {
		t.Fatalf("the proxy was asked for %v", v)
	}
}

func TestASilentServerTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(release) })
	err := get(t, Client(Policy{AllowLoopback: true, HeaderTimeout: 20 * time.Millisecond}), srv.URL)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("got %v, want a timeout", err)
	}
}

// startDNS is a resolver whose only server answers every A question with addrs.
func startDNS(t *testing.T, addrs ...[4]byte) *net.Resolver {
	t.Helper()
	pc, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answer(buf[:n], addrs); reply != nil {
				_, _ = pc.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { _ = pc.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func answer(query []byte, addrs [][4]byte) []byte {
	var msg dnsmessage.Message
	if msg.Unpack(query) != nil || len(msg.Questions) != 1 {
		return nil
	}
	q := msg.Questions[0]
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: msg.ID, Response: true, RecursionAvailable: true}, Questions: msg.Questions}
	if q.Type == dnsmessage.TypeA {
		for _, a := range addrs {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0},
				Body:   &dnsmessage.AResource{A: a},
			})
		}
	}
	out, err := reply.Pack()
	if err != nil {
		return nil
	}
	return out
}
