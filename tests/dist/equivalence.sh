#!/usr/bin/env bash
# 2 and 4 ranks, and 2 and 4 parts of a step, train as one process with the same total batch does: 20 steps of SGD, parameters within
# 1e-10; the first step of AdamW, whose running means are the averaged gradients; metrics; a resumed run
# with another number of ranks.
source "$(dirname "$0")/lib.sh"
# In float64, so that what is left is no rounding: in float32 the smallest gradients (a millionth of
# the whole, left by cancellation) differ by 5e-5, and a sampling point that lies on a border of two
# cells has either of two gradients.
"$tessera" data synth --output "$work/set" --videos 7 --frames 5 --height 64 --width 96 --seed 3 > /dev/null
experiment=$root/experiments/quickstart_deformable.toml
# Videos differ in length and content, clips do not differ in size.
settings=(--set "data.train.annotations=$work/set/annotations.json" --set "data.train.images=$work/set/frames"
  --set data.num_frames=2 --set data.sampling.kind=uniform_window --set train.total_batch=4 --set train.threads=1
  --set train.evaluate_every=0 --set train.log_every=5
  --set train.precision=float64)
train() { # NAME RANKS SETTINGS...
  local name=$1 count=$2 start=("$tessera")
  shift 2
  [ "$count" = 1 ] || start=(timeout 600 mpirun --oversubscribe --bind-to none -np "$count" "$tessera")
  "${start[@]}" train "$experiment" "${settings[@]}" --output "$work/$name" "$@" > "$work/$name.log" 2>&1 ||
    { cat "$work/$name.log"; fail "training $name"; }
}
within() { # LIMIT A B FILE [PREFIX]
  local difference
  difference=$("$worker" compare "$work/$2/$4" "$work/$3/$4" ${5:-})
  echo "$2 and $3: relative difference $difference (at most $1)"
  awk -v d="$difference" -v l="$1" 'BEGIN { exit !(d <= l) }' || fail "$3 is no $2"
}
sgd=(--set train.iterations=20 --set train.optimiser.kind=sgd --set train.optimiser.lr=0.001
  --set train.checkpoint_every=10)
adam=(--set train.iterations=1 --set train.clip_gradients=0)
train sgd1 1 "${sgd[@]}"
train adam1 1 "${adam[@]}"
for count in 2 4; do
  train sgd$count $count "${sgd[@]}"
  train adam$count $count "${adam[@]}"
  within 1e-10 sgd1 sgd$count last.safetensors
  within 1e-10 adam1 adam$count checkpoint-1.safetensors optimiser.exp_avg.
done
# Parts of a step are one batch, too, alone and together with ranks.
train parts 2 "${sgd[@]}" --set train.accumulation=2
train parts1 1 "${sgd[@]}" --set train.accumulation=2
train parts4 1 "${sgd[@]}" --set train.accumulation=4
for name in parts parts1 parts4; do
  within 1e-10 sgd1 $name last.safetensors
done
# What float64 trained is read as float32.
"$tessera" infer "$experiment" --set data.num_frames=2 --set inference.overlap=1 \
  --weights "$work/sgd1/last.safetensors" --input "$work/set/annotations.json" --images "$work/set/frames" --output "$work/results.json" > /dev/null || fail "inference with float64's weights"
train plain 2 "${sgd[@]}" --set train.distributed.overlap=false
within 1e-12 sgd2 plain last.safetensors
# A resumed run with another number of ranks goes on in the same order of samples.
train mixed 2 "${sgd[@]}" --iterations 10
train mixed 4 "${sgd[@]}" --resume auto
within 1e-10 sgd1 mixed last.safetensors

expect_exit 2 "train.total_batch: expected a multiple of the 3 ranks times train.accumulation = 1, got 4" \
  ranks 3 "$tessera" train "$experiment" "${settings[@]}" "${sgd[@]}" --output "$work/three"
