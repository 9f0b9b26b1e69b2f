package dialguard_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"testing"

	"github.com/g4fagent/g4fagent/internal/dialguard"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	strict := dialguard.Policy{}
	local := dialguard.Policy{AllowLoopback: true}
	lan := dialguard.Policy{AllowPrivate: true}
	open := dialguard.Policy{AllowLoopback: true, AllowPrivate: true, AllowCrossHost: true}
	all := map[string]dialguard.Policy{"strict": strict, "local": local, "lan": lan, "open": open}

	tests := []struct {
		addr    string
		allowed []string // the policies that allow it
		reason  string   // what the strict policy says
	}{
		{"93.184.216.34", []string{"strict", "local", "lan", "open"}, ""},
		{"2606:2800:220:1:248:1893:25c8:1946", []string{"strict", "local", "lan", "open"}, ""},
		{"64:ff9b::5db8:d822", []string{"strict", "local", "lan", "open"}, ""},

		{"127.0.0.1", []string{"local", "open"}, "loopback"},
		{"127.8.9.10", []string{"local", "open"}, "loopback"},
		{"::1", []string{"local", "open"}, "loopback"},
		{"::ffff:127.0.0.1", []string{"local", "open"}, "loopback"},
		{"64:ff9b::7f00:1", []string{"local", "open"}, "loopback"},
		{"2002:7f00:1::", []string{"local", "open"}, "loopback"},

		{"10.1.2.3", []string{"lan", "open"}, "private"},
		{"172.31.255.255", []string{"lan", "open"}, "private"},
		{"192.168.0.1", []string{"lan", "open"}, "private"},
		{"100.64.0.1", []string{"lan", "open"}, "private"},
		{"198.18.0.1", []string{"lan", "open"}, "private"},
		{"fd12:3456::1", []string{"lan", "open"}, "private"},
		{"fec0::1", []string{"lan", "open"}, "private"},
		{"64:ff9b:1::a00:1", []string{"lan", "open"}, "private"},
		{"::ffff:10.0.0.1", []string{"lan", "open"}, "private"},
		{"2002:a00:1::", []string{"lan", "open"}, "private"},
		{"2001:0:1:2:3:4:f5ff:fffe", []string{"lan", "open"}, "private"}, // Teredo of 10.0.0.1

		{"169.254.169.254", nil, "cloud metadata"},
		{"::ffff:169.254.169.254", nil, "cloud metadata"},
		{"64:ff9b::a9fe:a9fe", nil, "cloud metadata"},
		{"2002:a9fe:a9fe::", nil, "cloud metadata"},
		{"::a9fe:a9fe", nil, "cloud metadata"},
		{"fd00:ec2::254", nil, "cloud metadata"},
		{"fd00:ec2::23", nil, "cloud metadata"},
		{"fd20:ce::254", nil, "cloud metadata"},
		{"100.100.100.200", nil, "cloud metadata"},
		{"168.63.129.16", nil, "cloud metadata"},
		{"192.0.0.192", nil, "cloud metadata"},
		{"169.254.1.1", nil, "link-local"},
		{"fe80::1", nil, "link-local"},
		{"fe80::1%eth0", nil, "link-local"},
		{"febf::1", nil, "link-local"},
		{"0.0.0.0", nil, "unspecified"},
		{"0.1.2.3", nil, "unspecified"},
		{"::", nil, "unspecified"},
		{"224.0.0.1", nil, "multicast"},
		{"ff02::1", nil, "multicast"},
		{"255.255.255.255", nil, "reserved"},
		{"240.0.0.1", nil, "reserved"},
	}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			t.Parallel()
			allowed := map[string]bool{}
			for _, name := range tt.allowed {
				allowed[name] = true
			}
			for name, policy := range all {
				err := policy.Check(netip.MustParseAddr(tt.addr))
				if got := err == nil; got != allowed[name] {
					t.Errorf("policy %s: allowed = %v (%v), want %v", name, got, err, allowed[name])
				}
			}
			refusal, ok := errors.AsType[*dialguard.RefusedError](strict.Check(netip.MustParseAddr(tt.addr)))
			if ok != (tt.reason != "") || (ok && refusal.Reason != tt.reason) {
				t.Errorf("refusal = %+v, want reason %q", refusal, tt.reason)
			}
		})
	}
}

func TestAnInvalidAddressIsRefused(t *testing.T) {
	t.Parallel()
	err := dialguard.Policy{AllowLoopback: true, AllowPrivate: true}.Check(netip.Addr{})
	if !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("got %v, want a refusal", err)
	}
}
