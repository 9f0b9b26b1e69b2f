// Package esnode is an embedded event store: one node that speaks EventStoreDB's
// gRPC protocol, so that the official client cannot tell it from a single
// EventStoreDB 24.10 node, and keeps its log in a folder.
//
// It has four parts, none of which knows the one above it: package storage is
// the log on disk, package engine is what EventStoreDB makes of a log, package
// persistent is the groups that share it, and this package is the wire. What all
// of it must do is in package conformance, as official clients see it.
//
// An append that was acknowledged has been synced to disk, and is read from
// then on by every reader. What is not synced is shown to nobody.
package esnode
