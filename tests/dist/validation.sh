#!/usr/bin/env bash
# Ranks share the validation's videos: the same 12 numbers, none of them trivial, as one process gives for the same
# weights. The weights stand still, so that train.patience ends the run after the second validation, on all ranks.
source "$(dirname "$0")/lib.sh"
"$tessera" data synth --output "$work/set" --videos 5 --frames 6 --height 64 --width 96 --seed 2 > /dev/null
experiment=$root/experiments/quickstart_deformable.toml
validate() { # RUN RANKS TRUTH [ARGUMENTS...]
  local name=$1 count=$2 truth=$3 starter=()
  shift 3
  [ "$count" = 1 ] || starter=(timeout 600 mpirun --oversubscribe --bind-to none -np "$count")
  # A learning rate of 0 keeps the weights equal to the last bit.
  "${starter[@]}" "$tessera" train "$experiment" --output "$work/$name" $(data_settings set) \
    --set "data.validation.annotations=$truth" --set "data.validation.images=$work/set/frames" \
    --set train.total_batch=6 --set train.iterations=2 --set train.evaluate_every=1 --set train.optimiser.lr=0 \
    --set train.optimiser.weight_decay=0 --set train.threads=1 "$@" > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "training with $count ranks"; }
  grep -o '"validation":{[^}]*}' "$work/$name/metrics.jsonl" > "$work/$name.scores"
}
validate start 1 "$work/set/annotations.json"
"$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$work/set/frames" \
  --weights "$work/start/last.safetensors" --output "$work/results.json" > "$work/log" 2>&1 ||
  { cat "$work/log"; fail "inference"; }
"$root/tests/dist/truth_of_results.py" "$work/set/annotations.json" "$work/results.json" "$work/truth.json"
for count in 1 2 3; do
  validate run$count $count "$work/truth.json" --weights "$work/start/last.safetensors" \
    --set train.iterations=4 --set train.patience=1
  grep -q '"stopped":"patience"' "$work/run$count/metrics.jsonl" || fail "train.patience is not in the metrics"
  [ "$(wc -l < "$work/run$count.scores")" = 2 ] || fail "expected two validations"
  cmp "$work/run1.scores" "$work/run$count.scores" || { cat "$work"/run*.scores; fail "other numbers"; }
done
# What both have to be, to say anything.
for name in AP AP50 AR10; do
  value=$(grep -o "\"$name\":[0-9.e-]*" "$work/run1.scores" | head -1 | cut -d: -f2)
  awk -v v="$value" 'BEGIN { exit !(v > 0.02 && v < 0.98) }' || { cat "$work/run1.scores"; fail "$name is $value, which says nothing"; }
done
head -1 "$work/run1.scores"
