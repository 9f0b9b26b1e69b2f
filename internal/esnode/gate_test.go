package esnode

import (
	"context"
	"log/slog"
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
