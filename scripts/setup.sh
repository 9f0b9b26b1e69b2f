#!/usr/bin/env bash
# Finds Postgres' server binaries, or installs Debian's package. The server finds
# them by itself afterwards.
set -euo pipefail

have_postgres() {
  command -v initdb >/dev/null && command -v postgres >/dev/null && return 0
  command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ] && return 0
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return 0
  compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' >/dev/null && return 0
  compgen -G '/usr/local/opt/postgresql*/bin/initdb' >/dev/null
}

have_postgres && exit 0

if ! command -v apt-get >/dev/null; then
  echo 'Postgres is not installed. The server will download it when it starts; or install it with your package manager.' >&2
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo 'Postgres is not installed. Install it with: apt-get install postgresql (as root).' >&2
    exit 0
  fi
  as_root=(sudo)
fi

echo 'Installing the package postgresql ...'
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends postgresql >/dev/null
have_postgres
