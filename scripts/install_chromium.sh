#!/usr/bin/env bash
# Installs Debian's Chromium, and a font for it to show text with, where there is none yet.
#   scripts/install_chromium.sh [PATH]   PATH: where the browser is looked for
set -euo pipefail
chromium=${1:-/usr/bin/chromium}
if [ -x "$chromium" ]; then
  exit 0
fi
if [ "$chromium" != /usr/bin/chromium ]; then
  echo "There is no browser at $chromium (ROLE_GUARD_CHROMIUM)." >&2
  exit 1
fi
packages="chromium fonts-dejavu-core"
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "A Chromium is needed: 'apt-get install $packages' as root, or ROLE_GUARD_CHROMIUM=/path/to/one." >&2
  exit 1
fi
echo "Installing $packages (once) ..."
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086  # two packages, two words
{ apt-get update -q && apt-get install -q -y --no-install-recommends $packages; } >"$log" 2>&1 || {
  tail -20 "$log" >&2
  exit 1
}
rm -f "$log"
