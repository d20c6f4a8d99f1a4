#!/usr/bin/env bash
# Ranks share the validation's videos: the same 12 numbers as one process gives for the same weights.
source "$(dirname "$0")/lib.sh"
"$tessera" data synth --output "$work/set" --videos 5 --frames 6 --height 64 --width 96 --seed 2 > /dev/null
for count in 1 3; do
  start=()
  [ $count = 1 ] || start=(timeout 600 mpirun --oversubscribe --bind-to none -np $count)
  # A learning rate of 0 keeps the weights equal to the last bit.
  "${start[@]}" "$tessera" train "$root/experiments/quickstart_deformable.toml" --output "$work/run$count" \
    --set "data.train.annotations=$work/set/annotations.json" --set "data.train.images=$work/set/frames" \
    --set "data.validation.annotations=$work/set/annotations.json" --set "data.validation.images=$work/set/frames" \
    --set train.total_batch=3 --set train.iterations=2 --set train.evaluate_every=1 --set train.optimiser.lr=0 \
    --set train.optimiser.weight_decay=0 --set train.threads=1 > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "training with $count ranks"; }
  grep -o '"validation":{[^}]*}' "$work/run$count/metrics.jsonl" > "$work/scores$count"
done
[ "$(wc -l < "$work/scores1")" = 2 ] || fail "expected two validations"
cmp "$work/scores1" "$work/scores3" || { cat "$work"/scores?; fail "other numbers"; }
head -1 "$work/scores1"
