package esnode

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// serverVersion is the version whose behaviour this node has. Clients split it
// on its dots and take integers only.
const serverVersion = "24.10.0"

const (
	streamsServiceName = "event_store.client.streams.streams"
	groupsServiceName  = "event_store.client.persistent_subscriptions.persistentsubscriptions"
)

// featuresService answers the first call on every connection. It lists what
// works here and nothing else: clients believe it.
type featuresService struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

func (featuresService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	method := func(service, name string, features ...string) *serverfeatures.SupportedMethod {
		return &serverfeatures.SupportedMethod{ServiceName: service, MethodName: name, Features: features}
	}
	methods := []*serverfeatures.SupportedMethod{
		method(streamsServiceName, "read", "position", "events"),
		method(streamsServiceName, "append"),
		method(streamsServiceName, "batchappend", "deadline_duration"),
		method(streamsServiceName, "delete"),
		method(streamsServiceName, "tombstone"),
	}
	for _, name := range []string{"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem"} {
		methods = append(methods, method(groupsServiceName, name, "stream", "all"))
	}
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: serverVersion, Methods: methods}, nil
}
