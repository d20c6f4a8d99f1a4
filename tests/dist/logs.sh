#!/usr/bin/env bash
# A log of its own for every rank, and a job that says nothing where nobody wants to hear.
source "$(dirname "$0")/lib.sh"
make_data set 1
experiment=$root/experiments/smoke/simvtr.toml
ranks 2 "$tessera" train "$experiment" $(data_settings set) --set train.total_batch=2 --set train.iterations=3 \
  --output "$work/run" --profile --quiet > "$work/out" 2> "$work/err" || { cat "$work/err"; fail "training"; }
[ -s "$work/out" ] && { cat "$work/out"; fail "expected silence"; }
python3 - "$work/run" <<'PY'
import json, pathlib, sys
run = pathlib.Path(sys.argv[1])
for rank, name in enumerate(["profile.jsonl", "profile-1.jsonl"]):
    lines = [json.loads(line) for line in (run / name).read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3], (name, lines)
    assert all(line["rank"] == rank and line["time"] > 1.6e9 for line in lines), (name, lines)
    assert all(0 <= line["exposed"] <= line["backward"] <= line["seconds"] for line in lines), (name, lines)
PY
"$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$(image_folder "$work/set")" --quiet \
  --weights "$work/run/last.safetensors" --output "$work/results.json" > "$work/out" 2>&1 || { cat "$work/out"; fail "inference"; }
[ -s "$work/out" ] && { cat "$work/out"; fail "expected silence from infer"; }
[ -s "$work/results.json" ] || fail "no results"
