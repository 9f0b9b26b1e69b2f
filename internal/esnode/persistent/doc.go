// Package persistent has EventStoreDB's persistent subscriptions: groups whose
// consumers share the events of a stream, or of the log, between them, and say
// of each what became of it. It knows no wire.
//
// A group's state is in streams, by the names that EventStoreDB gives them:
// what it is in $persistentSubscriptionConfig, how far it got in
// $persistentsubscription-<stream>::<group>-checkpoint, and what it has put
// aside in $persistentsubscription-<stream>::<group>-parked. An event is given
// at least once: it is behind the checkpoint only when a consumer has settled
// it, or it is parked.
package persistent
