package esnode

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type contextStream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s contextStream) Context() context.Context { return s.ctx }

func TestGate(t *testing.T) {
	t.Parallel()
	g := &gate{logger: slog.New(slog.DiscardHandler)}

	t.Run("turns a panic into an error of the call", func(t *testing.T) {
		t.Parallel()
		_, unaryErr := g.unary(t.Context(), nil, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) {
			panic("unary")
		})
		streamErr := g.stream(nil, contextStream{ctx: t.Context()}, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error {
			panic("stream")
		})
		for _, err := range []error{unaryErr, streamErr} {
			if status.Code(err) != codes.Internal {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false,
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil || isLoopback(a) != want {
			t.Errorf("%s: got %t, %v", address, !want, err)
		}
	}
	if isLoopback(&net.UnixAddr{Name: "/s"}) {
		t.Error("a socket is an address of a host")
	}
}
