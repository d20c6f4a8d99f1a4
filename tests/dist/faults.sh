#!/usr/bin/env bash
# A rank that is killed, stopped, throws, runs out of memory, has a NaN, hangs or was started with another
# experiment ends the job: in time, non-zero, by name, without orphans, with a whole checkpoint.
source "$(dirname "$0")/lib.sh"

# Times are taken from the fault, which the script makes or the rank notes in a file: how long a job takes to
# start says nothing.
start() { # FAULT RANK: in the background
  folder=$work/$1-$2
  timeout 300 mpirun --oversubscribe --bind-to none -np 3 "$worker" loop "$folder" "$1" "$2" > "$work/out" 2> "$work/err" &
  job=$!
}
ended() { # TEXT...: it was found within 30 seconds and all these texts were said
  local limit=30 status=0 from=$since
  wait $job || status=$?
  [ -n "$from" ] || from=$(stat -c %Y "$folder/fault") || { cat "$work/err"; fail "the fault did not happen"; }
  # When it was found: mpirun then takes its time with a rank that does not react.
  local found
  found=$(stat -c %Y "$folder/ranks/failure.txt" 2> /dev/null || date +%s)
  local seconds=$((found - from))
  [ $status -ne 0 ] || fail "the job ended as if all were well"
  [ "$seconds" -le "$limit" ] || { cat "$work/err"; fail "found after $seconds s, expected $limit"; }
  for text in "$@"; do
    grep -qF -- "$text" "$work/err" || { cat "$work/err"; fail "expected '$text'"; }
  done
  for _ in $(seq 50); do
    pgrep -f "dist_worker loop $folder" > /dev/null || break
    sleep 0.1
  done
  ! pgrep -f "dist_worker loop $folder" > /dev/null || fail "orphans are left"
  echo "exit $status, found after $seconds s: $(grep -F -- "$1" "$work/err" | head -1)"
}
wait_for_step() { # until there is a checkpoint
  until ls "$folder"/checkpoint-[4-9]*.safetensors > /dev/null 2>&1; do
    kill -0 $job 2> /dev/null || { cat "$work/err"; fail "the job ended before its first checkpoints"; }
    sleep 0.05
  done
}
send() { # SIGNAL RANK
  kill -"$1" "$(process_of "$2")"
  since=$(date +%s)
}
process_of() { # RANK
  pgrep -f "dist_worker loop $folder" -a | grep -v mpirun | awk '{print $1}' | while read -r pid; do
    tr '\0' '\n' < "/proc/$pid/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$pid"
  done | head -1
}
resumes() { # the last checkpoint is whole
  local last
  last=$(ls -v "$folder"/checkpoint-*.safetensors | tail -1)
  "$tessera" weights inspect "$last" > /dev/null 2>&1 || "$worker" compare "$last" "$last" > /dev/null ||
    fail "the last checkpoint is not whole"
}
host=$(hostname)
for rank in 0 1; do
  start none $rank
  wait_for_step
  send KILL $rank
  ended "rank $rank on $host (process" "was killed"
  grep -q "was killed" "$folder/ranks/failure.txt" || fail "nothing was kept of the end"
  resumes
  start none $rank-stopped
  wait_for_step
  send STOP $rank
  ended "rank $rank on $host (process" "was lost"
  resumes
done
since= # the rank notes it
for rank in 0 2; do
  start throw $rank
  ended "rank $rank on $host" "00003.jpg: expected an image"
  grep -q "step 6, phase forward" "$folder/ranks/failure.txt" || fail "no step and phase were kept"
  resumes
done
start nan 1
ended "rank 1 on $host" "expected a finite loss" "sample 6"
start memory 2
ended "rank 2 on $host" "alloc"
start hang 1
ended "rank 1 on $host (process" "step 6, phase forward) makes no progress"
start other_experiment 2
ended "rank 2 on $host has another version of the experiment"
# mpirun itself dies: nobody is left.
start none 9
wait_for_step
kill -9 $job 2> /dev/null || true
kill -9 "$(pgrep -f "mpirun.*$folder" | tail -1)" 2> /dev/null || true
for _ in $(seq 300); do
  pgrep -f "dist_worker loop $folder" > /dev/null || break
  sleep 0.1
done
! pgrep -f "dist_worker loop $folder" > /dev/null || fail "orphans are left of a killed mpirun"
echo "mpirun killed: no orphans"
