#!/bin/bash
# Holds the built event store to what EventStoreDB does, as it is seen by the
# official clients that the program itself does not use: KurrentDB's for Go, and
# EventStoreDB's for JavaScript. Starts the event store on a free port, in a
# folder that is removed afterwards; with TEST_EVENTSTORE_URL set, that server is
# tried instead. Go, Node 20 and npm are needed.
#
#   scripts/conformance.sh [path of the g4fagent binary, default .bin/g4fagent]
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-.bin/g4fagent}")
suite=internal/esnode/conformance

work=$(mktemp -d)
server=

finish() {
  code=$?
  if [[ -n $server ]] && kill -TERM "$server" 2>/dev/null; then
    for _ in {1..100}; do
      kill -0 "$server" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$server" 2>/dev/null || true
  fi
  if [[ $code -ne 0 && -s $work/log ]]; then
    echo "The event store said:" >&2
    tail -n 40 "$work/log" >&2
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

(cd $suite/javascript && timeout 300 npm ci --no-fund --no-audit --silent)
# Built before the server is there, so that a failure is the compiler's alone.
go -C $suite/kurrentdb vet ./...
go -C $suite/kurrentdb test -c -o "$work/kurrentdb.test" .

if [[ -z ${TEST_EVENTSTORE_URL:-} ]]; then
  : >"$work/out"
  "$binary" eventstore --listen 127.0.0.1:0 --data-dir "$work/data" >"$work/out" 2>"$work/log" &
  server=$!
  url=
  for _ in {1..300}; do
    url=$(awk '$1 == "clients" { print $2; exit }' "$work/out")
    [[ -n $url ]] && break
    kill -0 "$server" 2>/dev/null || { echo "The event store ended before it was ready." >&2; exit 1; }
    sleep 0.1
  done
  [[ -n $url ]] || { echo "The event store was not ready within half a minute." >&2; exit 1; }
  export TEST_EVENTSTORE_URL=$url
fi

echo "KurrentDB-Client-Go:"
"$work/kurrentdb.test" -test.timeout 2m
echo "@eventstore/db-client:"
(cd $suite/javascript && timeout 120 npm test --silent -- --test-reporter=dot)
