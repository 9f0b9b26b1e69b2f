package esnode

import (
	"math"
	"time"

	pb "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/persistent"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// groupKey translates the one-of of several messages, whose members are the same
// and whose types are not.
func groupKey(option any, group string) (persistent.Key, error) {
	key := persistent.Key{Group: group}
	switch o := option.(type) {
	case *pb.ReadReq_Options_All, *pb.DeleteReq_Options_All, *pb.GetInfoReq_Options_All, *pb.ReplayParkedReq_Options_All,
		*pb.CreateReq_Options_All, *pb.UpdateReq_Options_All:
		key.Stream = persistent.All
	case *pb.ReadReq_Options_StreamIdentifier:
		key.Stream = string(o.StreamIdentifier.GetStreamName())
	case *pb.DeleteReq_Options_StreamIdentifier:
		key.Stream = string(o.StreamIdentifier.GetStreamName())
	case *pb.GetInfoReq_Options_StreamIdentifier:
		key.Stream = string(o.StreamIdentifier.GetStreamName())
	case *pb.ReplayParkedReq_Options_StreamIdentifier:
		key.Stream = string(o.StreamIdentifier.GetStreamName())
	case *shared.StreamIdentifier:
		key.Stream = string(o.GetStreamName())
	case *pb.CreateReq_Options_Stream:
		key.Stream = streamName(o.Stream)
	case *pb.UpdateReq_Options_Stream:
		key.Stream = streamName(o.Stream)
	}
	if key.Stream == "" || key.Group == "" {
		return key, malformed("a persistent subscription needs a stream and a group")
	}
	return key, nil
}

// groupSettings are the settings of either message that has them.
type groupSettings interface {
	GetResolveLinks() bool
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutMs() int32
	GetMessageTimeoutTicks() int64
	GetCheckpointAfterMs() int32
	GetCheckpointAfterTicks() int64
}

func settingsOf(s groupSettings) persistent.Settings {
	return persistent.Settings{
		ResolveLinks: s.GetResolveLinks(), ExtraStatistics: s.GetExtraStatistics(), MaxRetryCount: int(s.GetMaxRetryCount()),
		MinCheckpointCount: int(s.GetMinCheckpointCount()), MaxCheckpointCount: int(s.GetMaxCheckpointCount()),
		MaxSubscriberCount: int(s.GetMaxSubscriberCount()), LiveBufferSize: int(s.GetLiveBufferSize()),
		ReadBatchSize: int(s.GetReadBatchSize()), HistoryBufferSize: int(s.GetHistoryBufferSize()),
		MessageTimeout:  duration(s.GetMessageTimeoutMs(), s.GetMessageTimeoutTicks()),
		CheckpointAfter: duration(s.GetCheckpointAfterMs(), s.GetCheckpointAfterTicks()),
	}
}

// duration is of milliseconds, or of ticks of 100 ns, whichever is set.
func duration(ms int32, ticks int64) time.Duration {
	const most = math.MaxInt64 / 100
	return time.Duration(ms)*time.Millisecond + time.Duration(max(min(ticks, most), -most))*100
}

func createRequest(o *pb.CreateReq_Options) (persistent.Key, persistent.Settings, error) {
	s := settingsOf(o.GetSettings())
	s.Strategy = o.GetSettings().GetConsumerStrategy()
	if s.Strategy == "" {
		s.Strategy = o.GetSettings().GetNamedConsumerStrategy().String() //nolint:staticcheck // clients use it
	}
	if f := o.GetAll().GetFilter(); f != nil {
		s.Filter = groupFilter(f)
	}
	option, start := any(o.GetStreamOption()), any(o.GetAll().GetAllOption())
	switch {
	case o.GetStreamOption() == nil:
		option, start = o.GetStreamIdentifier(), o.GetSettings().GetRevision() //nolint:staticcheck // clients use it
	case o.GetStream() != nil:
		start = o.GetStream().GetRevisionOption()
	}
	return groupRequest(option, o.GetGroupName(), o.GetSettings() != nil, s, start)
}

func updateRequest(o *pb.UpdateReq_Options) (persistent.Key, persistent.Settings, error) {
	s := settingsOf(o.GetSettings())
	s.Strategy = o.GetSettings().GetNamedConsumerStrategy().String()
	option, start := any(o.GetStreamOption()), any(o.GetAll().GetAllOption())
	switch {
	case o.GetStreamOption() == nil:
		option, start = o.GetStreamIdentifier(), o.GetSettings().GetRevision() //nolint:staticcheck // clients use it
	case o.GetStream() != nil:
		start = o.GetStream().GetRevisionOption()
	}
	return groupRequest(option, o.GetGroupName(), o.GetSettings() != nil, s, start)
}

// groupRequest completes what both requests have in common: which group, and
// where it begins. Clients older than 21.10 say the stream and the revision in
// places of their own, and some that are newer still do.
func groupRequest(option any, group string, hasSettings bool, s persistent.Settings, start any) (persistent.Key, persistent.Settings, error) {
	key, err := groupKey(option, group)
	if err == nil && !hasSettings {
		err = malformed("the settings are missing")
	}
	if err == nil {
		s.Start, err = groupStart(start)
	}
	return key, s, err
}

// groupStart heeds that the end may also be said as the last of all numbers.
func groupStart(option any) (persistent.Start, error) {
	position := func(commit, prepare uint64) persistent.Start {
		if commit > math.MaxInt64 {
			return persistent.Start{End: true}
		}
		return persistent.Start{Position: engine.Position{Commit: commit, Prepare: prepare}}
	}
	revision := func(n uint64) persistent.Start {
		if n > math.MaxInt64 {
			return persistent.Start{End: true}
		}
		return persistent.Start{Revision: n}
	}
	switch o := option.(type) {
	case uint64:
		return revision(o), nil
	case *pb.CreateReq_StreamOptions_Revision:
		return revision(o.Revision), nil
	case *pb.UpdateReq_StreamOptions_Revision:
		return revision(o.Revision), nil
	case *pb.CreateReq_AllOptions_Position:
		return position(o.Position.GetCommitPosition(), o.Position.GetPreparePosition()), nil
	case *pb.UpdateReq_AllOptions_Position:
		return position(o.Position.GetCommitPosition(), o.Position.GetPreparePosition()), nil
	case *pb.CreateReq_StreamOptions_Start, *pb.UpdateReq_StreamOptions_Start, *pb.CreateReq_AllOptions_Start, *pb.UpdateReq_AllOptions_Start:
		return persistent.Start{}, nil
	case *pb.CreateReq_StreamOptions_End, *pb.UpdateReq_StreamOptions_End, *pb.CreateReq_AllOptions_End, *pb.UpdateReq_AllOptions_End:
		return persistent.Start{End: true}, nil
	default:
		return persistent.Start{}, malformed("where to start from is missing")
	}
}

func groupFilter(o *pb.CreateReq_AllOptions_FilterOptions) *engine.FilterOptions {
	if e := o.GetStreamIdentifier(); e != nil {
		return &engine.FilterOptions{ByStream: true, Regex: e.GetRegex(), Prefixes: e.GetPrefix()}
	}
	return &engine.FilterOptions{Regex: o.GetEventType().GetRegex(), Prefixes: o.GetEventType().GetPrefix()}
}

func listedStream(option any) (string, error) {
	switch o := option.(type) {
	case *pb.ListReq_Options_ListAllSubscriptions:
		return "", nil
	case *pb.ListReq_Options_ListForStream:
		if o.ListForStream.GetAll() != nil {
			return persistent.All, nil
		}
		if name := string(o.ListForStream.GetStream().GetStreamName()); name != "" {
			return name, nil
		}
	}
	return "", malformed("neither all persistent subscriptions nor those of a stream are asked for")
}

func replayEnd(option any) (*uint64, error) {
	switch o := option.(type) {
	case *pb.ReplayParkedReq_Options_NoLimit:
		return nil, nil //nolint:nilnil // no limit is an answer here
	case *pb.ReplayParkedReq_Options_StopAt:
		if o.StopAt >= 0 {
			stop := uint64(o.StopAt)
			return &stop, nil
		}
	}
	return nil, malformed("where to stop is missing, or below zero")
}

func wantsTextIDs(o *pb.ReadReq_Options_UUIDOption) (bool, error) {
	switch o.GetContent().(type) {
	case *pb.ReadReq_Options_UUIDOption_Structured:
		return false, nil
	case *pb.ReadReq_Options_UUIDOption_String_:
		return true, nil
	default:
		return false, malformed("the form of event ids is missing")
	}
}

func eventIDs(ids []*shared.UUID) ([][16]byte, error) {
	out := make([][16]byte, 0, len(ids))
	for _, id := range ids {
		parsed, err := parseID(id)
		if err != nil {
			return nil, err
		}
		out = append(out, parsed)
	}
	return out, nil
}

func nackAction(a pb.ReadReq_Nack_Action) persistent.Action {
	switch a {
	case pb.ReadReq_Nack_Park:
		return persistent.Park
	case pb.ReadReq_Nack_Skip:
		return persistent.Skip
	case pb.ReadReq_Nack_Stop:
		return persistent.Stop
	default:
		return persistent.Retry
	}
}

func groupConfirmation(key persistent.Key) *pb.ReadResp {
	return &pb.ReadResp{Content: &pb.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &pb.ReadResp_SubscriptionConfirmation{SubscriptionId: key.String()},
	}}
}

// groupReplies makes the messages of one consumer.
type groupReplies struct {
	textIDs     bool
	event, link recorded
}

func (r *groupReplies) of(d persistent.Delivered) *pb.ReadResp {
	place := d.Resolved.Event
	m := &pb.ReadResp_ReadEvent{Count: &pb.ReadResp_ReadEvent_RetryCount{RetryCount: int32(d.Retries)}}
	if d.Resolved.Event != nil {
		m.Event = groupEvent(&r.event, d.Resolved.Event, r.textIDs)
	}
	if d.Resolved.Link != nil {
		place = d.Resolved.Link
		m.Link = groupEvent(&r.link, d.Resolved.Link, r.textIDs)
	}
	m.Position = &pb.ReadResp_ReadEvent_CommitPosition{CommitPosition: place.Position}
	return &pb.ReadResp{Content: &pb.ReadResp_Event{Event: m}}
}

// groupEvent is an event in this service's own message, which has the same
// content as that of readings.
func groupEvent(r *recorded, e *storage.Event, textID bool) *pb.ReadResp_ReadEvent_RecordedEvent {
	m := r.fill(e, textID)
	return &pb.ReadResp_ReadEvent_RecordedEvent{
		Id: m.GetId(), StreamIdentifier: m.GetStreamIdentifier(), StreamRevision: m.GetStreamRevision(),
		CommitPosition: m.GetCommitPosition(), PreparePosition: m.GetPreparePosition(),
		Metadata: m.GetMetadata(), CustomMetadata: m.GetCustomMetadata(), Data: m.GetData(),
	}
}

func infoReply(i persistent.Info) *pb.SubscriptionInfo {
	s := i.Settings
	reply := &pb.SubscriptionInfo{
		EventSource: i.Key.Stream, GroupName: i.Key.Group, Status: i.Status, TotalItems: i.TotalItems,
		LastCheckpointedEventPosition: i.LastCheckpoint, LastKnownEventPosition: i.LastKnown,
		ResolveLinkTos: s.ResolveLinks, StartFrom: i.StartFrom, MessageTimeoutMilliseconds: int32(s.MessageTimeout.Milliseconds()),
		ExtraStatistics: s.ExtraStatistics, MaxRetryCount: int32(s.MaxRetryCount), LiveBufferSize: int32(s.LiveBufferSize),
		BufferSize: int32(s.HistoryBufferSize), ReadBatchSize: int32(s.ReadBatchSize),
		CheckPointAfterMilliseconds: int32(s.CheckpointAfter.Milliseconds()), MinCheckPointCount: int32(s.MinCheckpointCount),
		MaxCheckPointCount: int32(s.MaxCheckpointCount), MaxSubscriberCount: int32(s.MaxSubscriberCount),
		NamedConsumerStrategy: s.Strategy, ReadBufferCount: int32(i.Waiting), RetryBufferCount: int32(i.Retrying),
		TotalInFlightMessages: int32(i.Outstanding), OutstandingMessagesCount: int32(i.Outstanding), ParkedMessageCount: i.Parked,
	}
	for _, c := range i.Consumers {
		reply.Connections = append(reply.Connections, &pb.SubscriptionInfo_ConnectionInfo{
			TotalItems: c.TotalItems, AvailableSlots: int32(c.AvailableSlots), InFlightMessages: int32(c.InFlight),
		})
	}
	return reply
}
