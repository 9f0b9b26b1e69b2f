package httpx

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientIP(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tc := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want         string
	}{
		{"is the peer without proxies", "203.0.113.7:4711", []string{"198.51.100.1"}, nil, "203.0.113.7"},
		{"is the peer when the peer is no proxy of ours", "203.0.113.7:4711", []string{"198.51.100.1"}, proxies, "203.0.113.7"},
		{"is what our proxy saw", "10.0.0.1:80", []string{"198.51.100.1"}, proxies, "198.51.100.1"},
		{"is the rightmost that is no proxy of ours", "10.0.0.1:80", []string{"6.6.6.6, 198.51.100.1, 10.9.9.9"}, proxies, "198.51.100.1"},
		{"is read over several headers as over one", "10.0.0.1:80", []string{"6.6.6.6", "198.51.100.1", "10.9.9.9"}, proxies, "198.51.100.1"},
		{"is the leftmost when all are proxies of ours", "10.0.0.1:80", []string{"10.2.2.2, 10.3.3.3"}, proxies, "10.2.2.2"},
		{"stops at what is no address", "10.0.0.1:80", []string{"198.51.100.1, nonsense, 10.9.9.9"}, proxies, "10.9.9.9"},
		{"ignores an empty header", "10.0.0.1:80", []string{""}, proxies, "10.0.0.1"},
		{"may carry a port", "10.0.0.1:80", []string{"198.51.100.1:5555"}, proxies, "198.51.100.1"},
		{"may be IPv6 in brackets", "[fd00::1]:80", []string{"[2001:db8::1]"}, proxies, "2001:db8::1"},
		{"may be IPv6 in brackets with a port", "[fd00::1]:80", []string{"[2001:db8::1]:9"}, proxies, "2001:db8::1"},
		{"knows an IPv4 proxy inside IPv6", "[::ffff:10.0.0.1]:80", []string{"198.51.100.1"}, proxies, "198.51.100.1"},
		{"does not let a zone hide a proxy", "[fd00::1%eth0]:80", []string{"198.51.100.1"}, proxies, "198.51.100.1"},
		{"is empty on a Unix socket", "@", nil, proxies, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{"X-Forwarded-For": tc.forwarded}}
			if got := clientIP(r, tc.trusted); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
