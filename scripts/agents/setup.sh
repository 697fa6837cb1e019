#!/usr/bin/env bash
# Install the agents of `make test-agents`, each into a folder of its own: setup.sh DIR NAME...
# The versions stand in versions.txt. What is there in its version is left as it is. No package's
# install script is run; all programs from npm are native binaries that need no Node. Of what one
# from PyPI asks for, NAME.without names what it starts without.
set -euo pipefail
dir=$1
shift
versions=$(dirname "$0")/versions.txt
python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

quietly() {
  "$@" >"$log" 2>&1 || {
    tail -30 "$log" >&2
    exit 1
  }
}

find_npm() {
  npm=$(command -v npm) && return
  # Node's own npm is a script that looks for `node` on the path.
  install node
  PATH=$dir/node/bin:$PATH
  npm=$dir/node/bin/npm
}

install_npm() {
  find_npm
  quietly "$npm" install --prefix "$1" --ignore-scripts --no-audit --no-fund --no-update-notifier \
    --loglevel error "${@:2}"
}

install_pypi() {
  local without
  without=$(dirname "$versions")/$(basename "$1").without
  [ ! -e "$without" ] || set -- "$@" --overrides "$without"
  quietly "$python" -m uv venv --quiet --clear --python "$python" "$1"
  quietly "$python" -m uv pip install --quiet --compile-bytecode --python "$1/bin/python" "${@:2}"
}

install() {
  local name=$1 registry packages stamp
  read -r registry packages < <(awk -v name="$name" '$1 == name { $1 = ""; print }' "$versions") || {
    echo "No agent is called '$name' in $versions." >&2
    exit 1
  }
  stamp=$dir/$name/.installed
  [ "$(cat "$stamp" 2>/dev/null)" != "$packages" ] || return 0
  echo "Installing $packages (once) ..."
  rm -rf "${dir:?}/$name"
  mkdir -p "$dir/$name"
  # shellcheck disable=SC2086  # several packages, several words
  "install_$registry" "$dir/$name" $packages
  echo "$packages" >"$stamp"
}

for name in "$@"; do
  install "$name"
done
