// Package conformance says how an event store behaves towards its clients: one
// list of named behaviours, which hold for EventStoreDB 24.10 and for every
// server that stands in for it.
//
// A behaviour knows neither a server nor an official client. It speaks in the
// words of this package, which an adapter for each client translates: see the
// tests of this package, and the module in the folder kurrentdb. Every stream's
// name is new and other writers are left out of account, so that any log will
// do, and behaviours run beside each other.
package conformance
