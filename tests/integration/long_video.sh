#!/usr/bin/env bash
# Long videos: memory does not grow with their length, what is not whole gets no name; archives for
# submission servers; scores against the number of frames.
source "$(dirname "$0")/lib.sh"
synth() { # NAME FRAMES
  "$tessera" data synth --output "$work/$1" --videos 1 --frames "$2" --height 128 --width 192 --seed 4 > /dev/null
}
synth short 100
synth long 1000
experiment=$root/experiments/smoke/vistr.toml
# Random weights give every query a mask in every frame: the worst case.
settings=(--allow-random-weights --set "inference.overlap=1" --set "inference.frame_score_threshold=0.0"
  --set inference.short_side=128 --set inference.max_side=192)
infer() { # NAME OUTPUT ARGUMENTS...
  local name=$1 output=$2
  shift 2
  "$tessera" infer "$experiment" "${settings[@]}" --input "$work/$name/annotations.json" \
    --images "$(image_folder "$work/$name")" --output "$output" "$@"
}

# peak NAME ARGUMENTS...: the largest resident memory in KiB.
peak() {
  local name=$1
  shift
  python3 - "$work/$name.peak" "$tessera" infer "$experiment" "${settings[@]}" --input "$work/$name/annotations.json" \
    --images "$(image_folder "$work/$name")" --output "$work/$name.json" "$@" <<'PY'
import os, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
PY
}
for linker in mask_iou embedding; do
  peak short --set "inference.linker.plugin=$linker"
  peak long --set "inference.linker.plugin=$linker"
  python3 - "$linker" "$(cat "$work/short.peak")" "$(cat "$work/long.peak")" "$work/long.json" <<'PY'
import json, sys
linker, short, long = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print(f"{linker}: {short / 1024:.1f} MiB for 100 frames, {long / 1024:.1f} MiB for 1000: ratio {long / short:.3f}")
tracks = json.load(open(sys.argv[4]))
assert tracks and all(len(track["segmentations"]) == 1000 for track in tracks), "expected whole tracks"
masks = sum(mask is not None for track in tracks for mask in track["segmentations"])
assert masks > 1000, f"expected masks to hold, got {masks}"
assert long <= 1.1 * short, "memory grew with the video"
PY
done

# Killed on the way: nothing has the results' name.
infer long "$work/killed.json" > "$work/killed.log" 2>&1 &
running=$!
for _ in $(seq 100); do
  sleep 0.1
  ! compgen -G "$work/killed.json.tmp-*" > /dev/null || break
done
sleep 0.5
kill -9 "$running" || fail "expected the run to be on its way: $(cat "$work/killed.log")"
wait "$running" 2> /dev/null || true
[ ! -e "$work/killed.json" ] || fail "partial results got the name of whole ones"
compgen -G "$work/killed.json.tmp-*" > /dev/null || fail "expected to have killed a run that was writing"
[ -z "$(find "$work" -name '.tessera-masks-*')" ] || fail "a killed run left its masks behind"

# Archives hold results.json at their top level.
make_data set 1
settings=(--allow-random-weights)
infer set "$work/other name.json" --zip
infer set "$work/r.json" --zip "$work/submission.zip" | grep "archive: $work/submission.zip" > /dev/null
python3 - "$work/other name" "$work/submission.zip" "$work/r.json" <<'PY'
import sys, zipfile
first, second = zipfile.ZipFile(sys.argv[1] + ".zip"), zipfile.ZipFile(sys.argv[2])
assert first.namelist() == second.namelist() == ["results.json"], first.namelist()
assert first.testzip() is None
assert second.read("results.json") == open(sys.argv[3], "rb").read() == first.read("results.json")
PY
expect_exit 5 "none/a.zip" infer set "$work/zip.json" --zip "$work/none/a.zip"
[ ! -e "$work/zip.json" ] || fail "the archive's path was tried too late"

# How much one frame says.
settings+=(--set inference.fill=none)
infer set "$work/sweep" --frames-sweep 1,2,all --json > "$work/sweep.json" 2> "$work/sweep.log"
infer set "$work/sweep" --frames-sweep 1,all | grep -E '^ +frames +AP +AP50' > /dev/null || fail "no table of the sweep"
python3 - "$work/sweep.json" "$work/sweep" <<'PY'
import json, sys
sweep = json.load(open(sys.argv[1]))["sweep"]
assert [row["frames"] for row in sweep] == [1, 2, "all"], sweep
assert all("AP50" in row["stats"] and "AP_full" in row["windowed"] for row in sweep)
for name, length in (("1", 1), ("2", 2), ("all", 5)):
    tracks = json.load(open(f"{sys.argv[2]}/frames_{name}.json"))
    assert tracks and {len(track["segmentations"]) for track in tracks} == {length}, name
PY
"$tessera" score --ground-truth "$work/set/annotations.json" --results "$work/sweep/frames_1.json" --compatible > /dev/null
expect_exit 4 "frames_1.json" "$tessera" score --ground-truth "$work/set/annotations.json" --results "$work/sweep/frames_1.json"
expect_exit 2 "--frames-sweep" infer set "$work/sweep" --frames-sweep 1,none
expect_exit 2 "--frames-sweep" infer set "$work/r.json" --json
expect_exit 2 "top_k" "$tessera" config check "$experiment" --set inference.average=logits
