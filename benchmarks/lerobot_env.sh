#!/usr/bin/env bash
# A virtual environment with LeRobot, which `robocache-bench loader` runs live beside ours; it does nothing where that
# is there. LeRobot pins other versions of what we use, so it gets a place of its own.
#   benchmarks/lerobot_env.sh [FOLDER]   default: .venv-lerobot
set -euo pipefail

script=$(realpath "$0")
venv=$(realpath -m "${1:-$(dirname "$script")/../.venv-lerobot}")
made_by=$venv/made_by.sh # this file as it was when the environment was complete
torch=torch==2.13.0

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

cmp -s "$script" "$made_by" && exit
echo "making $venv with LeRobot 0.4.4 (minutes)"
"${PYTHON:-python3}" -m venv --clear "$venv"
pip() { "$venv/bin/python" -m pip install -q "$@"; }

# A wheel that the machine offers is used; the index's would bring gigabytes of CUDA libraries to a CPU benchmark.
if ! pip --no-index --no-deps "$torch" 2>/dev/null && [[ ${WITH_TORCH:-0} != 1 ]]; then
  echo "lerobot_env: no local wheel of $torch (WITH_TORCH=1 installs it from the index)" >&2
  exit 1
fi
pip "$torch"
# Their own requirements would bring another torch, and simulators.
pip --no-deps lerobot==0.4.4 torchvision==0.28.0 'diffusers<0.36' torchcodec==0.13.0
pip 'datasets>=4,<5' 'huggingface-hub<0.36,>=0.34.2' accelerate 'av>=15,<16' jsonlines einops \
  'opencv-python-headless<4.13' 'packaging<26' draccus==0.10.0 'gymnasium<2' deepdiff 'imageio[ffmpeg]' termcolor \
  'setuptools<81' pandas
cp "$script" "$made_by"
