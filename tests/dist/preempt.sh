#!/usr/bin/env bash
# A signal, whichever rank or starter gets it, ends the job with a checkpoint of one step and the code that says
# "run again"; the resumed run ends with the uninterrupted one's bits.
source "$(dirname "$0")/lib.sh"
make_data set 1
experiment=$root/experiments/smoke/deformable_vistr.toml
settings=($(data_settings set) --set train.iterations=12 --set train.checkpoint_every=1000 --set train.log_every=1
  --set train.total_batch=2 --set train.threads=1 --set model.encoder.dropout=0.1)
with_mpirun=(mpirun --oversubscribe --bind-to none -np 2 "$tessera" train)
# launch gives -np and --bind-to itself; the two ranks have to share this machine's slots.
export OMPI_MCA_rmaps_base_oversubscribe=1
with_launch=("$tessera" launch --hosts localhost:2)

start() { # NAME COMMAND...: in the background
  run=$work/$1
  shift
  timeout 300 "$@" "$experiment" --output "$run" "${settings[@]}" --resume auto > "$work/log" 2>&1 &
  job=$!
}
wait_for_steps() {
  until [ "$(wc -l 2> /dev/null < "$run/metrics.jsonl" || echo 0)" -ge 2 ]; do
    kill -0 $job 2> /dev/null || { cat "$work/log"; fail "the job ended before it was asked to"; }
    sleep 0.05
  done
}
process() { pgrep -f "^[^ ]*$1.* --output $run " | head -1; }
# preempted CODE: the job ended with it, all ranks after the same step, within the run, with a checkpoint.
preempted() {
  local status=0 at
  wait $job || status=$?
  [ $status = "$1" ] || { cat "$work/log"; fail "expected exit $1, got $status"; }
  at=$(sed -n 's/.*preempted at iteration \([0-9]*\), checkpoint written, run again with --resume auto.*/\1/p' "$work/log")
  [ -n "$at" ] && [ "$at" -lt 12 ] || { cat "$work/log"; fail "expected 'preempted at iteration N'"; }
  [ "$(ls "$run"/checkpoint-*.safetensors)" = "$run/checkpoint-$at.safetensors" ] || fail "expected one checkpoint, of $at"
  [ ! -e "$run/ranks/failure.txt" ] || { cat "$run/ranks/failure.txt"; fail "taken for a fault"; }
  "${with_mpirun[@]}" "$experiment" --output "$run" "${settings[@]}" --resume auto > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "the resumed run"; }
  grep -q "going on from .* at iteration $at\$" "$work/log" || { cat "$work/log"; fail "did not go on from $at"; }
  diff <(strip "$work/whole/metrics.jsonl") <(strip "$run/metrics.jsonl") || fail "the resumed run differs"
  cmp "$work/whole/last.safetensors" "$run/last.safetensors" || fail "the resumed weights differ"
  echo "$(basename "$run"): exit $status at iteration $at; the resumed run's bits are those of the whole one"
}
"${with_mpirun[@]}" "$experiment" --output "$work/whole" "${settings[@]}" > "$work/log" 2>&1 ||
  { cat "$work/log"; fail "the whole run"; }
for signal in TERM INT; do
  # One rank alone: the other learns of it.
  start rank-$signal "${with_mpirun[@]}"
  wait_for_steps
  kill -$signal "$(processes_of "$run" | awk '$2 == 1 { print $1 }')"
  preempted 6
  start launch-$signal "${with_launch[@]}"
  wait_for_steps
  kill -$signal "$(process "/tessera launch")"
  preempted 6
done
# Before the first step: asked is asked.
start early "${with_mpirun[@]}"
until [ -e "$run/resolved.toml" ]; do
  kill -0 $job 2> /dev/null || { cat "$work/log"; fail "the job ended before it was asked to"; }
  sleep 0.02
done
kill -TERM "$(processes_of "$run" | awk '$2 == 0 { print $1 }')"
preempted 6
# mpirun itself passes SIGTERM on after a while; its own code is 1 whatever its ranks do. It kills after as long
# again, by default a second, in which a busy machine may not get through a step.
settings+=(--set train.iterations=5000)
start mpirun mpirun --mca odls_base_sigkill_timeout 15 "${with_mpirun[@]:1}"
wait_for_steps
kill -TERM "$(pgrep -f "^mpirun .* --output $run " | head -1)"
status=0
wait $job || status=$?
[ $status = 1 ] || { cat "$work/log"; fail "expected mpirun to return 1, got $status"; }
at=$(sed -n 's/.*preempted at iteration \([0-9]*\), .*/\1/p' "$work/log")
[ "$(ls "$run"/checkpoint-*.safetensors)" = "$run/checkpoint-$at.safetensors" ] || { cat "$work/log"; fail "no checkpoint"; }
echo "mpirun: exit 1, checkpoint of iteration $at"
# Several seeds, and a signal where no step is left to ask after.
settings+=(--set train.iterations=1 --set train.seeds=50)
start seeds "$tessera" train
until [ -e "$run/seed-1/last.safetensors" ]; do
  kill -0 $job 2> /dev/null || { cat "$work/log"; fail "the job ended before it was asked to"; }
  sleep 0.02
done
kill -TERM "$(process /tessera train)"
status=0
wait $job || status=$?
[ $status = 6 ] || { cat "$work/log"; fail "expected exit 6 between seeds, got $status"; }
[ ! -e "$run/seed-50" ] || fail "all seeds were trained"
echo "seeds: exit 6 after $(ls -d "$run"/seed-* | wc -l) of 50"
