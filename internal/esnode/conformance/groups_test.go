package conformance_test

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/g4fagent/g4fagent/internal/esnode/conformance"
)

// groupSettings has checkpoints written at once.
func groupSettings(g conformance.GroupSettings) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	s.CheckpointLowerBound, s.CheckpointUpperBound, s.CheckpointAfter = 1, 1, 1
	s.ResolveLinkTos, s.MaxRetryCount, s.MaxSubscriberCount = g.ResolveLinks, int32(g.MaxRetries), int32(g.MaxConsumers)
	s.ConsumerStrategyName = esdb.ConsumerStrategy(g.Strategy)
	if g.Timeout > 0 {
		s.MessageTimeout = int32(g.Timeout.Milliseconds())
	}
	return &s
}

func groupOfAll(g conformance.GroupSettings) esdb.PersistentAllSubscriptionOptions {
	o := esdb.PersistentAllSubscriptionOptions{Settings: groupSettings(g), StartFrom: inLog(g.From)}
	if g.Filter != nil {
		o.Filter = filter(g.Filter)
	}
	return o
}

func groupOfStream(g conformance.GroupSettings) esdb.PersistentStreamSubscriptionOptions {
	return esdb.PersistentStreamSubscriptionOptions{Settings: groupSettings(g), StartFrom: inStream(g.From)}
}

func (c client) CreateGroup(ctx context.Context, stream, group string, s conformance.GroupSettings) error {
	if stream == conformance.All {
		return named(c.CreatePersistentSubscriptionToAll(ctx, group, groupOfAll(s)))
	}
	return named(c.CreatePersistentSubscription(ctx, stream, group, groupOfStream(s)))
}

func (c client) UpdateGroup(ctx context.Context, stream, group string, s conformance.GroupSettings) error {
	if stream == conformance.All {
		return named(c.UpdatePersistentSubscriptionToAll(ctx, group, groupOfAll(s)))
	}
	return named(c.UpdatePersistentSubscription(ctx, stream, group, groupOfStream(s)))
}

func (c client) DeleteGroup(ctx context.Context, stream, group string) error {
	if stream == conformance.All {
		return named(c.DeletePersistentSubscriptionToAll(ctx, group, esdb.DeletePersistentSubscriptionOptions{}))
	}
	return named(c.DeletePersistentSubscription(ctx, stream, group, esdb.DeletePersistentSubscriptionOptions{}))
}

func (c client) ReplayParked(ctx context.Context, stream, group string, stopAt int) error {
	o := esdb.ReplayParkedMessagesOptions{StopAt: stopAt}
	if stream == conformance.All {
		return named(c.ReplayParkedMessagesToAll(ctx, group, o))
	}
	return named(c.ReplayParkedMessages(ctx, stream, group, o))
}

func (c client) Group(ctx context.Context, stream, group string) (conformance.GroupInfo, error) {
	i, err := c.GetPersistentSubscriptionInfo(ctx, stream, group, esdb.GetPersistentSubscriptionOptions{})
	if err != nil {
		return conformance.GroupInfo{}, named(err)
	}
	return groupInfo(i), nil
}

func groupInfo(i *esdb.PersistentSubscriptionInfo) conformance.GroupInfo {
	return conformance.GroupInfo{
		Stream: i.EventSource, Group: i.GroupName, MaxRetries: int(i.Settings.MaxRetryCount),
		Parked: int(i.Stats.ParkedMessagesCount), InFlight: int(i.Stats.TotalInFlightMessages),
		Checkpoint: i.Stats.LastCheckpointedEventRevision,
	}
}

func (c client) StreamGroups(ctx context.Context, stream string) ([]conformance.GroupInfo, error) {
	return groupInfos(c.ListPersistentSubscriptionsForStream(ctx, stream, esdb.ListPersistentSubscriptionsOptions{}))
}

func (c client) AllGroups(ctx context.Context) ([]conformance.GroupInfo, error) {
	return groupInfos(c.ListAllPersistentSubscriptions(ctx, esdb.ListPersistentSubscriptionsOptions{}))
}

func groupInfos(infos []esdb.PersistentSubscriptionInfo, err error) ([]conformance.GroupInfo, error) {
	if err != nil {
		return nil, named(err)
	}
	var out []conformance.GroupInfo
	for _, i := range infos {
		out = append(out, groupInfo(&i))
	}
	return out, nil
}

func (c client) Consume(ctx context.Context, stream, group string, buffer int) (conformance.Consumer, error) {
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: uint32(buffer)}
	var sub *esdb.PersistentSubscription
	var err error
	if stream == conformance.All {
		sub, err = c.SubscribeToPersistentSubscriptionToAll(ctx, group, o)
	} else {
		sub, err = c.SubscribeToPersistentSubscription(ctx, stream, group, o)
	}
	if err != nil {
		return nil, named(err)
	}
	return consumer{sub}, nil
}

type consumer struct{ sub *esdb.PersistentSubscription }

func (c consumer) Next() conformance.Delivery {
	e := c.sub.Recv()
	if e.SubscriptionDropped != nil {
		return conformance.Delivery{Err: named(e.SubscriptionDropped.Error)}
	}
	return conformance.Delivery{Resolved: resolved(e.EventAppeared.Event), Retries: e.EventAppeared.RetryCount}
}

// acknowledged are events as this client acknowledges them: by their ids.
func acknowledged(events []conformance.Resolved) []*esdb.ResolvedEvent {
	var out []*esdb.ResolvedEvent
	for _, e := range events {
		out = append(out, &esdb.ResolvedEvent{Event: &esdb.RecordedEvent{EventID: e.Original().ID}})
	}
	return out
}

func (c consumer) Ack(events ...conformance.Resolved) error {
	return c.sub.Ack(acknowledged(events)...)
}

func (c consumer) Nack(action conformance.Action, events ...conformance.Resolved) error {
	actions := map[conformance.Action]esdb.NackAction{
		conformance.Retry: esdb.NackActionRetry, conformance.Park: esdb.NackActionPark, conformance.Skip: esdb.NackActionSkip,
	}
	return c.sub.Nack("why not", actions[action], acknowledged(events)...)
}

func (c consumer) Close() { _ = c.sub.Close() }
