package esnode

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// gate is what every call passes: credentials are checked, and a panic ends the
// call and not the process.
type gate struct {
	logger             *slog.Logger
	username, password string
}

func (g *gate) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	defer recovered(ctx, g.logger, info.FullMethod, &err)
	if err := g.authenticate(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (g *gate) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer recovered(stream.Context(), g.logger, info.FullMethod, &err)
	if err := g.authenticate(stream.Context(), info.FullMethod); err != nil {
		if info.IsClientStream && !info.IsServerStream {
			drain(stream)
		}
		return err
	}
	return handle(service, stream)
}

// drainedMessage is what a message counts towards the bound of a drain, beside
// its own size.
const drainedMessage = 1 << 10

// drain reads a refused request to its end, so that its client learns why: while
// it still sends it sees no more than that the call is over. A client that goes
// on and on need not learn it. One that reads as it sends learns it at once.
func drain(stream grpc.ServerStream) {
	for total := 0; total <= maxReceive; {
		var m emptypb.Empty // takes any message, as unknown fields
		if stream.RecvMsg(&m) != nil {
			return
		}
		total += drainedMessage + proto.Size(&m)
	}
}

// recovered, deferred, turns a panic into an error: of a call, or of a part of
// one that runs apart from it.
func recovered(ctx context.Context, logger *slog.Logger, method string, err *error) {
	if r := recover(); r != nil {
		logger.ErrorContext(ctx, "panic in a call", slog.String("method", method),
			slog.String("panic", fmt.Sprint(r)), slog.String("stack", string(debug.Stack())))
		*err = status.Error(codes.Internal, "internal error")
	}
}

// open are the calls that the official client makes on each new connection,
// where it has no way to send credentials in plaintext. They tell no more than
// that this is an event store.
func open(method string) bool {
	return method == serverfeatures.ServerFeatures_GetSupportedMethods_FullMethodName ||
		method == gossip.Gossip_Read_FullMethodName
}

func (g *gate) authenticate(ctx context.Context, method string) error {
	if g.username == "" || open(method) {
		return nil
	}
	if slices.ContainsFunc(metadata.ValueFromIncomingContext(ctx, "authorization"), g.accepts) {
		return nil
	}
	return status.Error(codes.Unauthenticated, "this event store asks for a username and a password")
}

// accepts compares digests, so that the time it takes tells nothing of how much
// of the credentials is right, nor how long they are.
func (g *gate) accepts(header string) bool {
	scheme, encoded, _ := strings.Cut(header, " ")
	given, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return false
	}
	got := sha256.Sum256(given)
	want := sha256.Sum256([]byte(g.username + ":" + g.password))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
