#!/usr/bin/env bash
# Runs of one and of two ranks are killed at random moments, also inside the write of a checkpoint, and resumed;
# each ends with the uninterrupted run's weights and metrics bit for bit.
#   TESSERA_CHAOS_KILLS (default 5), TESSERA_CHAOS_SEED (default 1)
source "$(dirname "$0")/lib.sh"
kills=${TESSERA_CHAOS_KILLS:-5}
RANDOM=${TESSERA_CHAOS_SEED:-1}
export OMPI_MCA_odls_base_sigkill_timeout=1 # nothing is left to wait for
make_data set 1
experiment=$root/experiments/smoke/deformable_vistr.toml
iterations=16
settings=($(data_settings set) --set train.iterations=$iterations --set train.checkpoint_every=1 --set train.log_every=1
  --set train.total_batch=2 --set train.threads=1 --set model.encoder.dropout=0.1)
train() { # RANKS RUN ARGUMENTS...
  local starter=()
  [ "$1" = 1 ] || starter=(mpirun --oversubscribe --bind-to none -np "$1")
  shift
  timeout 600 "${starter[@]}" "$tessera" train "$experiment" --output "$@" "${settings[@]}" > "$work/log" 2>&1
}
for count in 1 2; do
  train $count "$work/whole$count" || { cat "$work/log"; fail "the uninterrupted run"; }
done
newest() { ls "$run" 2> /dev/null | sed -n 's/^checkpoint-\([0-9]*\).safetensors$/\1/p' | sort -n | tail -1; }
victim_of() { # RANK: its process; a single process has no rank
  if [ $count = 1 ]; then
    pgrep -f "^[^ ]*/tessera train .*$run" | head -1
  else
    processes_of "$run" | awk -v r="$1" '$2 == r { print $1 }'
  fi
}
killed=0 runs=0 of_first=0 in_write=0 in_start=0 number=0 attempt=0
finish() { # the run has ended by itself: it must be the whole one
  diff <(strip "$work/whole$count/metrics.jsonl") <(strip "$run/metrics.jsonl") > "$work/diff" ||
    { head -5 "$work/diff"; fail "other metrics after $killed kills"; }
  cmp "$work/whole$count/last.safetensors" "$run/last.safetensors" || fail "other weights after $killed kills"
  runs=$((runs + 1))
  rm -rf "$run"
}
next_run() { number=$((number + 1)) count=$((1 + RANDOM % 2)) run=$work/run$number; }
ended() { # the job has: 0 is the end of the run, anything else must be of a kill
  local status=0
  { wait $job || status=$?; } 2> /dev/null # the shell would report every kill
  if [ $status = 0 ]; then
    finish
    next_run
  elif [ "$struck" = no ]; then
    cat "$work/log"
    fail "a run ended with $status although nobody was killed"
  fi
}
next_run
while [ $killed -lt "$kills" ]; do
  mkdir -p "$run" # so that it can be watched
  before=$(newest)
  train $count "$run" --resume auto &
  job=$! struck=no rank=$((RANDOM % count)) attempt=$((attempt + 1))
  case $((attempt % 8)) in # every kind comes soon; the moments within are random
    3) # while it starts, reads data and loads the checkpoint
      moment=start rank=0
      sleep "$((RANDOM % 4)).$((RANDOM % 10))" ;;
    1 | 4 | 6) moment=write rank=0 ;;
    *) moment=step ;;
  esac
  if [ $moment != start ]; then
    while kill -0 $job 2> /dev/null && [ "$(newest)" = "$before" ]; do sleep 0.02; done
    [ $moment = write ] || sleep "$(printf '0.%03d' $((RANDOM % 1000)))"
  fi
  victim=$(victim_of $rank || true)
  if [ -n "$victim" ]; then
    if [ $moment = write ]; then
      if found=$("$build/bin/kill_in_write" "$victim" "$run" $((RANDOM % 300))); then
        struck=yes
        [ "$found" != "in write" ] || in_write=$((in_write + 1))
      fi
    elif kill -9 "$victim" 2> /dev/null; then
      struck=yes
      [ $moment = step ] || in_start=$((in_start + 1))
    fi
  fi
  if [ $struck = yes ]; then
    killed=$((killed + 1))
    [ $rank = 1 ] || of_first=$((of_first + 1))
  fi
  ended
  [ $((killed % 10)) != 0 ] || [ $struck = no ] || echo "$killed kills, $runs runs ended"
done
if [ -e "$run" ]; then
  train $count "$run" --resume auto || { cat "$work/log"; fail "the last resumed run"; }
  finish
fi
[ $in_write -gt 0 ] || fail "no kill fell inside the write of a checkpoint"
echo "$killed kills ($of_first of rank 0, $in_write inside a checkpoint's write, $in_start in the start), $runs runs of" \
  "$iterations steps: all ended with the uninterrupted run's bits"
