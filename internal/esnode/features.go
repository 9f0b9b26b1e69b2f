package esnode

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// serverVersion is the version whose behaviour this node has. Clients split it
// on its dots and take integers only.
const serverVersion = "24.10.0"

const streamsServiceName = "event_store.client.streams.streams"

// featuresService answers the first call on every connection. It lists what
// works here and nothing else: clients believe it.
type featuresService struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

func (featuresService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	method := func(name string, features ...string) *serverfeatures.SupportedMethod {
		return &serverfeatures.SupportedMethod{ServiceName: streamsServiceName, MethodName: name, Features: features}
	}
	return &serverfeatures.SupportedMethods{
		EventStoreServerVersion: serverVersion,
		Methods: []*serverfeatures.SupportedMethod{
			method("read", "position", "events"),
			method("append"),
			method("batchappend", "deadline_duration"),
			method("delete"),
			method("tombstone"),
		},
	}, nil
}
