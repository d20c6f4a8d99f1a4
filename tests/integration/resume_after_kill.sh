#!/usr/bin/env bash
# kill -9 in training, then resume, equals the uninterrupted run's losses bit for bit.
source "$(dirname "$0")/lib.sh"
make_data set 1
experiment=$root/experiments/smoke/deformable_vistr.toml
settings=($(data_settings set) --set train.iterations=16 --set train.checkpoint_every=3 --set train.log_every=1
  --set model.encoder.dropout=0.1)
"$tessera" train "$experiment" "${settings[@]}" --output "$work/whole" > /dev/null
"$tessera" train "$experiment" "${settings[@]}" --output "$work/killed" > /dev/null &
pid=$!
for _ in $(seq 600); do
  [ "$(cat "$work/killed/metrics.jsonl" 2> /dev/null | wc -l)" -ge 7 ] && break
  sleep 0.05
done
kill -9 $pid
wait $pid 2> /dev/null || true
done_before=$(wc -l < "$work/killed/metrics.jsonl")
[ "$done_before" -lt 16 ] || fail "the run had ended before it was killed"
"$tessera" train "$experiment" "${settings[@]}" --output "$work/killed" --resume auto > "$work/log"
grep -q "going on from" "$work/log" || fail "the second run did not resume"
# Every figure but the times must be the same text.
strip() { sed -E 's/"(seconds|data_seconds|time)": ?[^,}]*//g' "$1"; }
diff <(strip "$work/whole/metrics.jsonl") <(strip "$work/killed/metrics.jsonl") || fail "the resumed run differs"
cmp "$work/whole/last.safetensors" "$work/killed/last.safetensors" || fail "the resumed weights differ"
echo "killed after $done_before of 16 iterations; losses and weights are equal"
