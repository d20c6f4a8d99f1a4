#!/usr/bin/env bash
# Two processes share a set's videos: the same results, byte for byte; one that fails ends both.
source "$(dirname "$0")/lib.sh"
# The program that links everything; `tessera` itself only scores and starts it.
program=$(dirname "$tessera")/../libexec/tessera-main
if ! command -v mpirun > /dev/null || ! ldd "$program" | grep libmpi > /dev/null; then
  echo "skipped: no mpirun, or a build without MPI"
  exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
two=(timeout 300 mpirun --oversubscribe -np 2)
make_data set 7
experiment=$root/experiments/quickstart_deformable.toml
infer() { # OUTPUT COMMAND...
  local output=$1
  shift
  "$@" "$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$work/set/frames" \
    --allow-random-weights --output "$output"
}
infer "$work/one.json" env
infer "$work/two.json" "${two[@]}"
cmp "$work/one.json" "$work/two.json" || fail "two processes gave other results than one"
grep -q video_id "$work/one.json" || fail "no tracks to compare"

: > "$work/set/frames/0002/00003.jpg" # an image that only one of the two reads
expect_exit 4 "00003.jpg" infer "$work/broken.json" "${two[@]}"
[ ! -e "$work/broken.json" ] || fail "half a result was left"
