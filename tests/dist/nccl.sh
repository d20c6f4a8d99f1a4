#!/usr/bin/env bash
# NCCL on the GPUs that this machine has, a rank each: collectives, averaged gradients, and training that gives what
# one GPU gives. A single GPU shows that the library is found and runs.
source "$(dirname "$0")/lib.sh"
skip() {
  echo "skipped: $*"
  exit 77
}
gpus=$(nvidia-smi -L 2> /dev/null | grep -c '^GPU' || true)
[ "$gpus" -gt 0 ] || skip "no GPU"
[ -e "$build/lib/libtessera_nccl.so" ] || skip "a build without NCCL (-DTESSERA_CUDA=ON and nccl.h make it)"
"$worker" nccl
echo "one GPU: NCCL loads and runs"
[ "$gpus" -gt 1 ] || { echo "what takes several GPUs was left out: this machine has one"; exit 0; }
ranks "$gpus" "$worker" nccl
make_data set 1
train() { # NAME COMMAND...
  local name=$1
  shift
  "$@" "$tessera" train "$root/experiments/quickstart_deformable.toml" $(data_settings set) --output "$work/$name" \
    --set train.device=cuda --set "train.total_batch=$gpus" --set train.iterations=5 --set train.evaluate_every=0 \
    --set data.num_frames=2 --set data.sampling.kind=uniform_window --set train.optimiser.kind=sgd \
    --set train.optimiser.lr=0.001 > "$work/$name.log" 2>&1 || { cat "$work/$name.log"; fail "training $name"; }
}
train one env
train all mpirun --oversubscribe --bind-to none -np "$gpus"
difference=$("$worker" compare "$work/one/last.safetensors" "$work/all/last.safetensors")
echo "$gpus GPUs and one: relative difference $difference (at most 1e-4)"
awk -v d="$difference" 'BEGIN { exit !(d <= 1e-4) }' || fail "training on $gpus GPUs is not training on one"
