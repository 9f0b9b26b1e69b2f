// Package engine gives the log the meaning that EventStoreDB gives it: expected
// revisions, idempotency, deletion, stream metadata, links, filters and
// subscriptions. It knows no wire: package esnode translates.
//
// Every answer is decided by the log's one writer and given when what it
// rests on is durable. Every read and subscription is a loop over pages of the
// log up to the published head; no lock and no iterator is held while its
// consumer works.
package engine
