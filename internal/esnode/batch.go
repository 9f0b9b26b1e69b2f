package esnode

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
)

const (
	// maxBatchBytes bounds what one call holds of appends that it has not
	// answered yet, and maxBatchRunning how many of them are being written.
	maxBatchBytes   = 64 << 20
	maxBatchRunning = 1 << 10
	// openedBytes and proposedBytes are what an append and an event of it count
	// towards the bound beside their content.
	openedBytes   = 1 << 10
	proposedBytes = 128
)

// BatchAppend takes appends for as long as the client likes, many under way at
// once, each in one or more messages that carry its correlation id. They are
// decided in the order in which they become complete, and answered as they
// become durable. A fault in one is that one's answer; the call goes on.
func (s *streamsService) BatchAppend(stream streams.Streams_BatchAppendServer) error {
	b := &batch{
		service:  s,
		stream:   stream,
		open:     make(map[[16]byte]*openAppend),
		expired:  make(chan expiry),
		finished: make(chan int, maxBatchRunning),
	}
	return b.serve()
}

// batch is one call of BatchAppend. Its fields belong to the goroutine that
// serves it; those that write send their answers and report to finished.
type batch struct {
	service *streamsService
	stream  streams.Streams_BatchAppendServer
	sending sync.Mutex

	open     map[[16]byte]*openAppend // by correlation id
	expired  chan expiry
	finished chan int // the bytes that an answered append had held
	running  int
	held     int
}

// openAppend is an append whose last message has not come.
type openAppend struct {
	batchReply

	request appendRequest
	ctx     context.Context // ends at the append's deadline
	stop    func()          // frees what watches for that
	held    int
}

// expiry says that an append's time is over. Its id may be another append's by
// now.
type expiry struct {
	id     [16]byte
	append *openAppend
}

func (b *batch) serve() error {
	received := make(chan received)
	// It ends with the call's context at the latest, which ends when this returns.
	go receive(b.stream, received)
	defer func() {
		for _, a := range b.open {
			a.stop()
		}
	}()
	for {
		select {
		case r := <-received:
			if r.err != nil {
				b.settle()
				return ended(r.err)
			}
			if err := b.take(r.message); err != nil {
				b.settle()
				return err
			}
		case e := <-b.expired:
			if b.open[e.id] == e.append {
				b.drop(e.id)
				b.refuse(e.append.batchReply, context.DeadlineExceeded)
			}
		case held := <-b.finished:
			b.release(held)
		case <-b.service.stopping.Done():
			b.settle()
			return errStopping
		case <-b.stream.Context().Done(): // receive may end without a word then
			b.settle()
			return b.stream.Context().Err()
		}
	}
}

// received is a message as it came, or how the client's side ended.
type received struct {
	message []byte
	err     error
}

// receive takes messages without looking into them: what they claim to be is
// judged before memory is spent on it.
func receive(stream grpc.ServerStream, to chan<- received) {
	for {
		var m emptypb.Empty // takes any message, as unknown fields
		err := stream.RecvMsg(&m)
		select {
		case to <- received{message: m.ProtoReflect().GetUnknown(), err: err}:
		case <-stream.Context().Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// take adds a message to its append, and begins to write one that is complete.
// An error ends the call.
func (b *batch) take(message []byte) error {
	m, err := parseBatchAppend(message)
	if err != nil {
		return err
	}
	reply := newBatchReply(m)
	id, err := parseID(m.GetCorrelationId())
	if err != nil {
		b.refuse(reply, malformed("the correlation id: %v", err))
		return nil
	}
	a := b.open[id]
	if a == nil {
		if m.GetOptions() == nil {
			return nil // of an append that was answered, or that never began
		}
		if a, err = b.begin(id, reply, m.GetOptions()); err != nil {
			b.refuse(reply, err)
			return nil
		}
	}
	if err := b.add(a, m); err != nil {
		b.drop(id)
		b.refuse(a.batchReply, err)
		return nil
	}
	if m.GetIsFinal() {
		b.write(id, a)
	}
	return nil
}

// begin opens an append. From then on it has until its deadline.
func (b *batch) begin(id [16]byte, reply batchReply, o *streams.BatchAppendReq_Options) (*openAppend, error) {
	expected, err := expectedRevision(o.GetExpectedStreamPosition())
	if err != nil {
		return nil, err
	}
	deadline, limited, err := batchDeadline(o, time.Now())
	if err != nil {
		return nil, err
	}
	if limited && !deadline.After(time.Now()) {
		return nil, context.DeadlineExceeded
	}
	a := &openAppend{
		batchReply: reply,
		request: appendRequest{
			append: engine.Append{Stream: streamName(o), Expected: expected}, options: true,
			limit: b.service.engine.MaxAppendBytes(),
		},
		ctx: b.stream.Context(), stop: func() {},
		held: openedBytes + len(streamName(o)),
	}
	if err := b.hold(a.held); err != nil {
		return nil, err
	}
	if limited {
		b.limit(id, a, deadline)
	}
	b.open[id] = a
	return a, nil
}

// limit has an append end at a deadline, wherever it is by then.
func (b *batch) limit(id [16]byte, a *openAppend, deadline time.Time) {
	ctx, cancel := context.WithDeadline(a.ctx, deadline)
	unwatch := context.AfterFunc(ctx, func() {
		select {
		case b.expired <- expiry{id, a}:
		case <-b.stream.Context().Done():
		}
	})
	a.ctx = ctx
	a.stop = func() {
		unwatch()
		cancel()
	}
}

func (b *batch) add(a *openAppend, m *streams.BatchAppendReq) error {
	for _, p := range m.GetProposedMessages() {
		before := a.request.size
		if err := a.request.propose(p); err != nil {
			return err
		}
		cost := a.request.size - before + len(a.request.append.Stream) + proposedBytes
		if err := b.hold(cost); err != nil {
			return err
		}
		a.held += cost
	}
	return nil
}

// hold makes room for what an append brings. It waits while any is being
// written; what is only open can make no room.
func (b *batch) hold(bytes int) error {
	for b.held+bytes > maxBatchBytes && b.running > 0 {
		b.release(<-b.finished)
	}
	if b.held+bytes > maxBatchBytes {
		return errBusy
	}
	b.held += bytes
	return nil
}

func (b *batch) release(held int) {
	b.running--
	b.held -= held
}

// drop forgets an append that is not written.
func (b *batch) drop(id [16]byte) {
	a := b.open[id]
	delete(b.open, id)
	a.stop()
	b.held -= a.held
}

// write has an append written, and returns when its turn is settled.
func (b *batch) write(id [16]byte, a *openAppend) {
	delete(b.open, id)
	if b.running == maxBatchRunning {
		b.release(<-b.finished)
	}
	b.running++
	turn := make(chan struct{})
	queued := sync.OnceFunc(func() { close(turn) })
	go func() {
		defer func() { b.finished <- a.held }()
		defer queued()
		defer a.stop()
		receipt, err := b.append(a, queued)
		if err != nil {
			b.refuse(a.batchReply, err)
			return
		}
		b.service.metrics.wrote(nil)
		b.answer(a.succeeded(receipt))
	}()
	<-turn
}

func (b *batch) append(a *openAppend, queued func()) (receipt engine.Receipt, err error) {
	defer recovered(a.ctx, b.service.logger, streams.Streams_BatchAppend_FullMethodName, &err)
	return b.service.engine.AppendInTurn(a.ctx, a.request.append, queued)
}

// settle waits for what is being written.
func (b *batch) settle() {
	for b.running > 0 {
		b.release(<-b.finished)
	}
}

func (b *batch) refuse(r batchReply, err error) {
	b.service.metrics.wrote(err)
	b.service.report(b.stream.Context(), err)
	b.answer(r.failed(err))
}

// answer sends a reply. One that cannot be sent has nobody to read it: the call
// is over then, and receiving says so.
func (b *batch) answer(r *streams.BatchAppendResp) {
	b.sending.Lock()
	defer b.sending.Unlock()
	_ = b.stream.Send(r) // fails only when nobody is there to read it: see above
}
