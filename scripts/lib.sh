# shellcheck shell=bash
# Shared by the scripts of this folder: sourced, never run.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$REPO/.venv
PROGRAM=scripts/$(basename "$0")

NVCC_MINIMUM=13.0

note() { printf '== %s\n' "$*"; }

die() {
  printf '%s: %s\n' "$PROGRAM" "$*" >&2
  exit 1
}

# usage: prints the comment block at the top of the running script.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# usage_error TEXT...: exit code 2 is for a wrong command line.
usage_error() {
  printf '%s: %s See: %s --help\n' "$PROGRAM" "$*" "$PROGRAM" >&2
  exit 2
}

has() { command -v "$1" >/dev/null 2>&1; }

# at_least FOUND MINIMUM: whether version FOUND is MINIMUM or newer.
at_least() { printf '%s\n%s\n' "$2" "$1" | sort -V -C; }

# first_version: the first thing in the text on stdin that looks like a version.
first_version() { sed -nE 's/^[^0-9]*([0-9]+(\.[0-9]+)+).*/\1/p' | sed -n 1p; }

# site_packages: the environment's folder of packages, or nothing.
site_packages() {
  local folder
  for folder in "$VENV"/lib/python3*/site-packages; do
    [ -d "$folder" ] && printf '%s\n' "$folder" && return
  done
  return 0
}

# torch_root: the LibTorch to build with (TORCH_ROOT, else the environment's), or nothing.
torch_root() {
  local site
  if [ -n "${TORCH_ROOT:-}" ]; then
    printf '%s\n' "$TORCH_ROOT"
    return
  fi
  site=$(site_packages)
  if [ -n "$site" ] && [ -e "$site/torch/include/torch/script.h" ]; then
    printf '%s\n' "$site/torch"
  fi
}

# torch_version ROOT: the version that LibTorch's own header states, or nothing.
torch_version() {
  local header=$1/include/torch/headeronly/version.h
  [ -e "$header" ] || return 0
  awk '$2 ~ /^TORCH_VERSION_(MAJOR|MINOR|PATCH)$/ { part[$2] = $3 }
    END { print part["TORCH_VERSION_MAJOR"] "." part["TORCH_VERSION_MINOR"] "." part["TORCH_VERSION_PATCH"] }' \
    "$header"
}

# find_nvcc: the path of an nvcc that is new enough, or nothing.
find_nvcc() {
  local candidate found
  for candidate in "${CUDACXX:-}" "$(command -v nvcc || true)" "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc"; do
    [ -x "$candidate" ] || continue
    found=$("$candidate" --version | sed -nE 's/.*release ([0-9.]+).*/\1/p')
    if [ -n "$found" ] && at_least "$found" "$NVCC_MINIMUM"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
}

# has_googletest: whether its headers are where the compiler looks.
has_googletest() { [ -e /usr/include/gtest/gtest.h ] || [ -e /usr/local/include/gtest/gtest.h ]; }

# find_shared: the folder of shared reference data, or nothing.
find_shared() {
  local folder=${TESSERA_SHARED:-$REPO/../shared}
  if [ -d "$folder" ]; then (cd "$folder" && pwd); fi
}

# cores: how many processors this process may use.
cores() { nproc 2>/dev/null || echo 1; }
