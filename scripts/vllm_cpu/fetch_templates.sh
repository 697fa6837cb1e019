#!/usr/bin/env bash
# Fetch real chat templates, which ship as data in two wheels: fetch_templates.sh DIR
# -> DIR/trl/chat_templates/*.jinja, DIR/axolotl/utils/chat_templates/templates/*.jinja
# The wheels are only unpacked, never installed. Once fetched, it returns at once.
set -euo pipefail

dir=${1:-${ROLE_GUARD_VLLM_HOME:-$HOME/.cache/role-guard/vllm-cpu}/templates}
python=${PYTHON:-python3}
wheels=(trl==1.16.0 axolotl==0.19.0)
fetched=$dir/.fetched-$(IFS=-; echo "${wheels[*]//==/-}")
[[ -e $fetched ]] && exit 0

mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --ignore-requires-python --dest "$work" "${wheels[@]}" 2>"$work/log" \
  || { cat "$work/log" >&2; exit 1; }
"$python" - "$work" "$dir" <<'PYTHON'
import pathlib, sys, zipfile

for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(
            sys.argv[2], [name for name in archive.namelist() if name.endswith(".jinja")]
        )
PYTHON
touch "$fetched"
