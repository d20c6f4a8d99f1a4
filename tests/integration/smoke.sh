#!/usr/bin/env bash
# Generated data -> train -> infer -> score, for the smoke experiments.
source "$(dirname "$0")/lib.sh"
make_data set 1
for name in vistr deformable_vistr simvtr mask2former_vis mssts ifc; do
  experiment=$root/experiments/smoke/$name.toml
  "$tessera" train "$experiment" $(data_settings set) --set train.iterations=6 --set train.log_every=1 \
    --output "$work/$name"
  [ "$(wc -l < "$work/$name/metrics.jsonl")" = 6 ] || fail "expected 6 lines of metrics"
  "$tessera" config check "$work/$name/resolved.toml"
  "$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$(image_folder "$work/set")" \
    --weights "$work/$name/last.safetensors" --output "$work/$name/results.json" --overlay "$work/$name/overlay" \
    --overlay-threshold 0 --explain "$work/$name/explained"
  [ "$(find "$work/$name/explained" -name '*.png' | wc -l)" = 3 ] || fail "expected a picture for each of 3 videos"
  "$tessera" score --ground-truth "$work/set/annotations.json" --results "$work/$name/results.json" --json \
    | grep '"AP50"' > /dev/null || fail "no AP50 in the score"
done
# Mixed precision: nearly the same losses, with an auxiliary network and recomputation, too.
for name in mask2former_vis mssts; do
  experiment=$root/experiments/smoke/$name.toml
  "$tessera" train "$experiment" $(data_settings set) --set train.iterations=3 --set train.log_every=1 \
    --set train.autocast=bfloat16 --set 'train.recompute=["backbone"]' --output "$work/$name-half"
  "$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$(image_folder "$work/set")" \
    --weights "$work/$name-half/last.safetensors" --set inference.autocast=bfloat16 --output "$work/$name-half.json"
  python3 - "$work/$name/metrics.jsonl" "$work/$name-half/metrics.jsonl" <<'PY'
import json, sys
plain, half = (json.loads(open(name).readline()) for name in sys.argv[1:])
assert plain["total"] != half["total"], "autocast changed nothing"
assert abs(plain["total"] - half["total"]) < 0.05 * plain["total"], (plain["total"], half["total"])
PY
done
# Several seeds in one go, with the mean and deviation of their scores.
"$tessera" train "$root/experiments/smoke/mask2former_vis.toml" $(data_settings set) --set train.iterations=2 \
  --set train.seeds=2 --set train.evaluate_every=2 --set "data.validation.annotations=$work/set/annotations.json" \
  --set "data.validation.images=$(image_folder "$work/set")" --output "$work/seeds" > "$work/seeds.log"
grep -q "2 seeds: AP" "$work/seeds.log" || fail "expected the scores of 2 seeds"
[ -s "$work/seeds/seed-1/last.safetensors" ] && [ -s "$work/seeds/seed-2/last.safetensors" ] \
  || fail "expected a run folder for each seed"
cmp -s "$work/seeds/seed-1/last.safetensors" "$work/seeds/seed-2/last.safetensors" \
  && fail "expected other weights for another seed"
grep -q '"deviation"' "$work/seeds/seeds.json" || fail "expected seeds.json with a deviation"
# The same frames as a folder.
video=$(find "$(image_folder "$work/set")" -mindepth 1 -maxdepth 1 -type d | sort | head -1)
"$tessera" infer "$root/experiments/smoke/vistr.toml" --input "$video" --weights "$work/vistr/last.safetensors" \
  --output "$work/folder.json"
[ -s "$work/folder.json" ] || fail "no results for a folder of frames"
# And as a video file.
python3 "$root/tests/integration/write_avi.py" "$work/clip.avi" 96 64 "$video"/*.jpg
"$tessera" infer "$root/experiments/smoke/vistr.toml" --input "$work/clip.avi" --weights "$work/vistr/last.safetensors" \
  --output "$work/video.json" --overlay "$work/video_overlay" --overlay-threshold 0
[ "$(find "$work/video_overlay" -name '*.jpg' | wc -l)" = 5 ] || fail "expected 5 overlays of a video of 5 frames"
python3 - "$work/folder.json" "$work/video.json" <<'PY'
import json, sys
folder, video = (json.load(open(name)) for name in sys.argv[1:])
assert len(folder) == len(video) > 0, (len(folder), len(video))
assert all(abs(a["score"] - b["score"]) < 0.02 for a, b in zip(folder, video)), "another clip was read"
PY
