package esnode

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// gossipService says that there is one node, which leads.
type gossipService struct {
	gossip.UnimplementedGossipServer

	instance uuid.UUID
	listener net.Addr
}

func newGossipService(listener net.Addr) gossipService {
	return gossipService{instance: uuid.New(), listener: listener}
}

func (g gossipService) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   structuredID(g.instance),
		TimeStamp:    time.Now().UnixNano() / 100,
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: g.endpoint(ctx),
	}}}, nil
}

// endpoint is an address that this very client can dial. What it dialled is
// best: it stays on the connection then, and a certificate's name fits. Else
// it is where its connection arrived: the listener's address may be a wildcard.
func (g gossipService) endpoint(ctx context.Context) *gossip.EndPoint {
	for _, authority := range metadata.ValueFromIncomingContext(ctx, ":authority") {
		if e, ok := endpoint(authority); ok {
			return e
		}
	}
	if p, ok := peer.FromContext(ctx); ok && p.LocalAddr != nil {
		if e, ok := endpoint(p.LocalAddr.String()); ok {
			return e
		}
	}
	if e, ok := endpoint(g.listener.String()); ok {
		return e
	}
	return &gossip.EndPoint{Address: g.listener.String()}
}

func endpoint(address string) (*gossip.EndPoint, bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return nil, false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, false
	}
	return &gossip.EndPoint{Address: host, Port: uint32(number)}, true
}
