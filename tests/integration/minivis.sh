#!/usr/bin/env bash
# Real frames: Deformable VisTR at small settings trains, its loss falls, it infers and scores.
source "$(dirname "$0")/lib.sh"
data=$shared/data/minivis
if [ ! -d "$data" ]; then
  echo "skipped: no reference data at $shared"
  exit 77
fi
experiment=$root/experiments/smoke/deformable_vistr_minivis.toml
settings=(--set "data.train.annotations=$data/annotations/clips5.json" --set "data.train.images=$data/JPEGImages")
"$tessera" train "$experiment" "${settings[@]}" --set train.iterations=40 --set train.log_every=1 --output "$work/run"
python3 - "$work/run/metrics.jsonl" <<'PY'
import json, sys
totals = [json.loads(line)["total"] for line in open(sys.argv[1])]
first, last = sum(totals[:10]) / 10, sum(totals[-10:]) / 10
print(f"mean loss of the first ten iterations {first:.2f}, of the last ten {last:.2f}")
assert last < 0.8 * first, "the loss did not fall"
PY
"$tessera" infer "$experiment" --input "$data/annotations/valid.json" --images "$data/JPEGImages" \
  --weights "$work/run/last.safetensors" --output "$work/results.json"
"$tessera" score --ground-truth "$data/annotations/valid.json" --results "$work/results.json"
