#!/usr/bin/env bash
# Installs Debian's Prometheus where there is none yet. Where it cannot, it says so and the tests
# that need one are skipped.
set -euo pipefail
if command -v prometheus >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "No prometheus: the tests of the dashboard are skipped. 'apt-get install prometheus' as root brings it." >&2
  exit 0
fi
echo "Installing prometheus (once) ..."
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# The server is started by the tests; the package must not start one of its own.
{ apt-get update -q && RUNLEVEL=1 apt-get install -q -y --no-install-recommends prometheus; } >"$log" 2>&1 || {
  tail -20 "$log" >&2
  echo "No prometheus: the tests of the dashboard are skipped." >&2
}
rm -f "$log"
