#!/bin/bash
# Checks that a TypeScript client can be made from the document, and that the
# built server keeps its word to it. Starts the server on a free port, in a
# folder that is removed afterwards. Node 20 and npm are needed.
#
#   scripts/client.sh [path of the g4fagent binary, default .bin/g4fagent]
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-.bin/g4fagent}")

password=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
work=$(mktemp -d)
chmod 711 "$work" # as root, Postgres runs as another account
server=

finish() {
  code=$?
  if [[ -n $server ]] && kill -TERM "$server" 2>/dev/null; then
    for _ in {1..150}; do
      kill -0 "$server" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$server" 2>/dev/null || true
  fi
  if [[ $code -ne 0 && -s $work/log ]]; then
    echo "The server said:" >&2
    tail -n 40 "$work/log" >&2
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

(
  cd api/clienttest
  timeout 300 npm ci --no-fund --no-audit --silent
  timeout 120 npm run --silent build
)

G4FAGENT_ADMIN_EMAIL=client@g4fagent.local G4FAGENT_ADMIN_PASSWORD=$password \
  "$binary" serve --data-dir "$work/data" --port 0 >"$work/out" 2>"$work/log" &
server=$!

url=
for _ in {1..600}; do
  url=$(awk '$1 == "API" { print $2; exit }' "$work/out")
  [[ -n $url ]] && break
  kill -0 "$server" 2>/dev/null || { echo "The server ended before it was ready." >&2; exit 1; }
  sleep 0.1
done
[[ -n $url ]] || { echo "The server was not ready within a minute." >&2; exit 1; }

cd api/clienttest
BASE_URL=$url EMAIL=client@g4fagent.local PASSWORD=$password timeout 120 npm run --silent start
