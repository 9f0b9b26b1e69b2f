package dialguard

import (
	"io/fs"
	"net/netip"
)

// RefusedError says that a policy does not allow an address. errors.Is finds it to be
// fs.ErrPermission, so that callers need not import this package to know that
// trying again is useless.
type RefusedError struct {
	// Addr is for logs: shown to a client it would tell what a name resolves to
	// inside our network.
	Addr netip.Addr
	// Reason names the class of the address.
	Reason string
}

// Error names the class of the address, but not the address.
func (r *RefusedError) Error() string { return "calls to " + r.Reason + " addresses are not allowed" }

// Is reports whether target is fs.ErrPermission.
func (r *RefusedError) Is(target error) bool { return target == fs.ErrPermission }

// class is a set of addresses with the name that a refusal gives it.
type class struct {
	reason   string
	prefixes []netip.Prefix
}

func (c class) contains(addr netip.Addr) bool {
	for _, p := range c.prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// The classes that no policy allows. Metadata services answer anyone who can
// reach them with the machine's credentials; most live at 169.254.169.254, the
// others are listed. Sources: RFC 6890 and the clouds' documentation.
var forbidden = []class{
	{"cloud metadata", prefixes(
		"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", // AWS, Google, Azure and others; ECS; EKS
		"fd00:ec2::/32", "fd20:ce::254/128", // AWS, Google
		"100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", // Alibaba, Oracle, Azure
	)},
	{"unspecified", prefixes("0.0.0.0/8", "::/128")},
	{"link-local", prefixes("169.254.0.0/16", "fe80::/10")},
	{"multicast", prefixes("224.0.0.0/4", "ff00::/8")},
	{"reserved", prefixes("240.0.0.0/4", "100::/64")},
}

var loopback = class{"loopback", prefixes("127.0.0.0/8", "::1/128")}

// private holds what is not routed on the Internet: RFC 1918, 6598 (carrier NAT),
// 6890 (protocol assignments), 2544 (benchmarks), 4193, 3879 (site-local) and
// 8215 (NAT64 of local use, whose embedded address cannot be found).
var private = class{"private", prefixes(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15",
	"fc00::/7", "fec0::/10", "64:ff9b:1::/48",
)}

// Check says whether p allows a connection to addr; the error is a *RefusedError.
// An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4, Teredo) must be
// allowed as both.
func (p Policy) Check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	if !addr.IsValid() {
		return &RefusedError{Addr: addr, Reason: "invalid"}
	}
	if reason := p.refuses(addr); reason != "" {
		return &RefusedError{Addr: addr, Reason: reason}
	}
	if v4, ok := embedded(addr); ok {
		if reason := p.refuses(v4); reason != "" {
			return &RefusedError{Addr: addr, Reason: reason}
		}
	}
	return nil
}

func (p Policy) refuses(addr netip.Addr) string {
	for _, c := range forbidden {
		if c.contains(addr) {
			return c.reason
		}
	}
	if !p.AllowLoopback && loopback.contains(addr) {
		return loopback.reason
	}
	if !p.AllowPrivate && private.contains(addr) {
		return private.reason
	}
	return ""
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour  = netip.MustParsePrefix("2002::/16")    // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")    // RFC 4380
	compatible = netip.MustParsePrefix("::/96")        // RFC 4291, deprecated
)

// embedded is the IPv4 address inside an IPv6 one, to which a translator or a
// tunnel on the way would deliver.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case addr.Is4(), loopback.contains(addr):
		return netip.Addr{}, false
	case nat64.Contains(addr), compatible.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(addr):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}
