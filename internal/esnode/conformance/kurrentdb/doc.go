// Package kurrentdb holds a running event store to the conformance suite as
// KurrentDB-Client-Go sees it. That client registers the same protobuf names as
// EventStore-Client-Go, so that no program can have both: hence a module of its
// own.
package kurrentdb
