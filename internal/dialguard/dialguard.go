// Package dialguard makes HTTP clients that cannot be talked into calling the
// wrong machine. URLs of model providers, tools and webhooks are data that users
// write, and a server that calls whatever it is told is a way into its own
// network: to a cloud's metadata service, to a database on loopback, to a
// neighbour behind the firewall (server-side request forgery).
//
// The guard looks at the address a connection is about to be made to, after name
// resolution, so that a name which resolves to one address when it is checked
// and to another when it is used (DNS rebinding) gains nothing.
package dialguard

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// Defaults of a Policy whose durations are zero.
const (
	DefaultDialTimeout   = 10 * time.Second
	DefaultTLSTimeout    = 10 * time.Second
	DefaultHeaderTimeout = 60 * time.Second
)

// maxHeaderBytes bounds a response's headers; net/http would take 10 MiB.
const maxHeaderBytes = 256 << 10

// Policy says which addresses may be called. The zero value allows the public
// Internet alone and is the right one for URLs that come from users. Nothing in
// a Policy allows link-local, multicast, unspecified, reserved or cloud metadata
// addresses: no caller of ours has business there.
type Policy struct {
	// AllowLoopback allows 127.0.0.0/8 and ::1, where a local model server is.
	AllowLoopback bool
	// AllowPrivate allows RFC 1918, RFC 4193 and the other ranges that are not
	// routed on the Internet.
	AllowPrivate bool
	// AllowCrossHost follows redirects of GET and HEAD to another host, without a
	// body or any header that may hold a credential. Otherwise such a redirect is
	// an error.
	AllowCrossHost bool

	// Proxy chooses the proxy of a request, as in http.Transport. Nil is no proxy:
	// HTTP_PROXY and its like are not read. The proxy's own address is under this
	// policy; a target behind it is only checked when its URL names an address,
	// since it is the proxy that resolves names.
	Proxy func(*http.Request) (*url.URL, error)

	// DialTimeout bounds resolving and connecting, TLSTimeout the handshake and
	// HeaderTimeout the wait for the response's headers once the request is
	// written. Zero is the default.
	DialTimeout   time.Duration
	TLSTimeout    time.Duration
	HeaderTimeout time.Duration
}

// Client makes an HTTP client that keeps to p. It has no overall timeout, which
// would cut long streams: requests carry a context. Response bodies are the
// caller's to bound.
func Client(p Policy) *http.Client {
	return &http.Client{Transport: Transport(p), CheckRedirect: p.checkRedirect}
}

// Transport makes the transport of Client. A client built around it otherwise
// has net/http's own redirect rules, in which each hop's address is still
// checked but headers such as X-Api-Key follow to other hosts.
func Transport(p Policy) *http.Transport {
	t := &http.Transport{
		DialContext:            p.Dialer().DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    or(p.TLSTimeout, DefaultTLSTimeout),
		ResponseHeaderTimeout:  or(p.HeaderTimeout, DefaultHeaderTimeout),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	if p.Proxy != nil {
		t.Proxy = p.proxy
	}
	return t
}

// Dialer makes a dialer that keeps to p, for protocols other than HTTP.
func (p Policy) Dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:        or(p.DialTimeout, DefaultDialTimeout),
		KeepAlive:      30 * time.Second,
		ControlContext: p.control,
	}
}

// control runs between the creation of a socket and its connection, once for
// each address that a name resolved to.
func (p Policy) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("check address of %s connection: %w", network, err)
	}
	return p.Check(to.Addr())
}

func (p Policy) proxy(req *http.Request) (*url.URL, error) {
	if addr, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
		if err := p.Check(addr); err != nil {
			return nil, err
		}
	}
	return p.Proxy(req)
}

func or(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}
