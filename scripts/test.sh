#!/usr/bin/env bash
# All tests, with the race detector, in random order. Each test starts what it
# needs: the embedded event store, a Postgres of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
go vet ./...
exec go test -race -shuffle=on -timeout 15m "${@:-./...}"
