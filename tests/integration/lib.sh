# Shared by the integration tests: sourced with the build folder and the reference data as arguments.
set -euo pipefail
build=$1
shared=${TESSERA_SHARED:-$2}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tessera=$build/bin/tessera
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

# data [NAME] [SEED]: a small generated set.
make_data() {
  "$tessera" data synth --output "$work/$1" --videos 3 --frames 5 --height 64 --width 96 --seed "$2" > /dev/null
}

data_settings() {
  local set=$1
  echo --set "data.train.annotations=$work/$set/annotations.json" --set "data.train.images=$(image_folder "$work/$set")"
}

image_folder() {
  for name in frames images JPEGImages; do
    if [ -d "$1/$name" ]; then
      echo "$1/$name"
      return
    fi
  done
  fail "no folder of frames in $1"
}

# expect_exit CODE TEXT COMMAND...: the command ends with that code and says that text on stderr.
expect_exit() {
  local code=$1 text=$2 status=0
  shift 2
  "$@" > "$work/out" 2> "$work/err" || status=$?
  [ "$status" = "$code" ] || { cat "$work/err"; fail "expected exit $code, got $status: $*"; }
  grep -qF -- "$text" "$work/err" || { cat "$work/err"; fail "expected '$text' in the error of: $*"; }
}
