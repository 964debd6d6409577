#!/usr/bin/env bash
# Makes the image able to grade: nothing to do where gradekit is installed already, otherwise installs the wheel that
# the bundle carries, with what it needs from the package index, into /opt/gradekit.
set -euo pipefail

kit=/opt/gradekit
for python in "$kit/bin/python" python3 python; do
  if "$python" -c 'import gradekit, otter, torch' 2>/dev/null; then
    echo "gradekit is in the image already ($("$python" -c 'import gradekit; print(gradekit.__version__)'))"
    exit 0
  fi
done

# otter grade puts the wheel beside this script; Gradescope unpacks the whole bundle, wheels in their own folder
here=$(cd "$(dirname "$0")" && pwd)
wheel=$(find "$here" -name 'gradekit-*.whl' | head -n 1)
if [ -z "$wheel" ]; then
  echo "setup.sh: the bundle carries no gradekit wheel: build it again with 'gradekit build'" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv python3-pip ca-certificates
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  python3 -m venv "$kit"
else
  # The image's own Python is too old: uv brings one.
  python3 -m pip install uv
  python3 -m uv venv --seed --python 3.12 "$kit"
fi
"$kit/bin/python" -m pip install --no-cache-dir "$wheel"
