module github.com/g4fagent/g4fagent/internal/esnode/conformance/kurrentdb

go 1.26.8

require (
	github.com/g4fagent/g4fagent v0.0.0
	github.com/kurrent-io/KurrentDB-Client-Go v1.0.0
	google.golang.org/grpc v1.85.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.44.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261005182115-fad411399dd8 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/g4fagent/g4fagent => ../../../..
