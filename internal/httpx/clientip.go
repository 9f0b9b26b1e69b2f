package httpx

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientIP is the address that a request is attributed to. X-Forwarded-For is
// evidence only as far as proxies of ours wrote it: from the right, the first
// address that is no trusted proxy. What stands left of it, or is no address at
// all, is the client's own claim and never believed.
func clientIP(r *http.Request, trusted []netip.Prefix) string {
	peer, ok := parseAddress(r.RemoteAddr)
	if !ok {
		return ""
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !contains(trusted, peer) {
			break
		}
		address, ok := parseAddress(strings.TrimSpace(hop))
		if !ok {
			break
		}
		peer = address
	}
	return peer.String()
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// parseAddress reads an address with or without a port. An IPv4 address inside
// IPv6 is the IPv4 address, and a zone, which only means something on the host
// that wrote it, is dropped: prefixes match neither.
func parseAddress(text string) (netip.Addr, bool) {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr().Unmap().WithZone(""), true
	}
	plain, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return plain.Unmap().WithZone(""), true
}
