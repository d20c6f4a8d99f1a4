#!/usr/bin/env bash
# An experiment with an auxiliary network and averaged weights: two ranks train both networks as one process does,
# and a run that is resumed ends with the uninterrupted one's bits, the auxiliary's optimiser, its running statistics
# and the averages included.
source "$(dirname "$0")/lib.sh"
export TESSERA_PLUGIN_PATH=$build/fixtures/critic
"$tessera" data synth --output "$work/set" --videos 7 --frames 5 --height 64 --width 96 --seed 3 > /dev/null
cat > "$work/experiment.toml" << TOML
extends = "$root/experiments/quickstart_deformable.toml"
[[auxiliaries]]
name = "critic"
network = { plugin = "area_critic" }
optimiser = { kind = "sgd", lr = 0.05 }
clip_gradients = 1.0
TOML
# Clips of one size: parts of a batch are padded alike.
settings=($(data_settings set) --set data.num_frames=2 --set data.sampling.kind=uniform_window
  --set train.total_batch=4 --set train.threads=1 --set train.evaluate_every=0 --set train.log_every=1
  --set train.iterations=6 --set train.checkpoint_every=3 --set train.optimiser.kind=sgd --set train.optimiser.lr=0.001
  --set train.ema.decay=0.8 --set train.ema.after=1)
train() { # NAME RANKS ARGUMENTS...
  local name=$1 count=$2 starter=()
  shift 2
  [ "$count" = 1 ] || starter=(timeout 600 mpirun --oversubscribe --bind-to none -np "$count")
  "${starter[@]}" "$tessera" train "$work/experiment.toml" "${settings[@]}" --output "$work/$name" "$@" \
    > "$work/$name.log" 2>&1 || { cat "$work/$name.log"; fail "training $name"; }
}
differ() { "$worker" compare "$work/$1" "$work/$2" "$3"; }
at_most() { awk -v d="$2" -v l="$1" 'BEGIN { exit !(d <= l) }'; }
train one 1
train two 2
train resumed 2 --iterations 3
train resumed 2 --resume auto
for name in critic.tell critic.fool; do
  grep -q "\"$name\"" "$work/two/metrics.jsonl" || fail "no loss $name in the metrics"
done
for part in model.auxiliary.critic.judge model.auxiliary.critic.usual_area auxiliary.critic.optimiser. model. ema.; do
  difference=$(differ one/checkpoint-6.safetensors two/checkpoint-6.safetensors "$part")
  at_most 1e-5 "$difference" || fail "2 ranks differ from one process by $difference in $part"
done
echo "two ranks and one process: relative difference at most 1e-5 in model, auxiliary, its optimiser and averages"
! at_most 1e-6 "$(differ two/checkpoint-3.safetensors two/checkpoint-6.safetensors model.auxiliary.critic.judge)" ||
  fail "the auxiliary network did not learn"
! at_most 1e-6 "$(differ two/ema.safetensors two/last.safetensors "")" || fail "the average is the last step's weights"
grep -q "going on from" "$work/resumed.log" || fail "the second run did not resume"
cmp "$work/two/checkpoint-6.safetensors" "$work/resumed/checkpoint-6.safetensors" ||
  fail "the resumed checkpoint differs"
cmp "$work/two/ema.safetensors" "$work/resumed/ema.safetensors" || fail "the resumed average differs"
diff <(strip "$work/two/metrics.jsonl") <(strip "$work/resumed/metrics.jsonl") || fail "the resumed metrics differ"
! grep -q "find_unused_parameters" "$work"/*.log || fail "advice that is none"
echo "resumed at step 3: the same bits"
