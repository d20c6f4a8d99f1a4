#!/usr/bin/env bash
# What a command does with its surroundings: standard output, devices, other processes, processors.
source "$(dirname "$0")/lib.sh"
exp=$root/experiments/smoke/simvtr.toml

# ---- standard output that cannot be written is exit 5, whatever the command prints
full=$work/full
can_make_nodes=true
mknod "$full" c 1 7 2> /dev/null && mknod "$work/probe" c 1 3 2> /dev/null && (echo x > "$work/probe") 2> /dev/null ||
  can_make_nodes=false  # some file systems make nodes that nobody can open
make_data set 1
images=$(image_folder "$work/set")
commands=("--help" "train --help" "score --help" "completion bash" "config show $exp" "config check $exp"
  "config reference" "config diff $exp $root/experiments/smoke/vistr.toml" "plugins list" "plugins list --json"
  "plugins describe backbone resnet" "doctor" "doctor --json" "data check $work/set/annotations.json --json"
  "data stats $work/set/annotations.json" "bench data $exp --clips 1 $(data_settings set)"
  "launch $exp --hosts a:1,b:1 --dry-run")
for command in "${commands[@]}"; do
  # shellcheck disable=SC2086
  status=0; "$tessera" $command >&- 2> "$work/err" || status=$?
  [ "$status" = 5 ] || { cat "$work/err"; fail "expected exit 5 with standard output closed, got $status: $command"; }
  grep -q "^error: standard output: expected" "$work/err" || { cat "$work/err"; fail "no reason: $command"; }
  $can_make_nodes || continue
  # shellcheck disable=SC2086
  status=0; "$tessera" $command > "$full" 2> "$work/err" || status=$?
  [ "$status" = 5 ] || { cat "$work/err"; fail "expected exit 5 on a full disk, got $status: $command"; }
  grep -q "^error: standard output: expected" "$work/err" || { cat "$work/err"; fail "no reason: $command"; }
done
# A command that prints nothing needs no standard output; its files never get what is printed.
settings=$(data_settings set)
# shellcheck disable=SC2086
"$tessera" train "$exp" $settings --set train.iterations=2 --output "$work/quiet" --quiet >&- 2> "$work/err" ||
  fail "a training that prints nothing failed without standard output"
status=0
# shellcheck disable=SC2086
"$tessera" train "$exp" $settings --set train.iterations=2 --output "$work/closed" <&- >&- 2> "$work/err" || status=$?
[ "$status" = 5 ] || fail "expected exit 5 of a training without standard output, got $status"
cmp "$work/quiet/last.safetensors" "$work/closed/last.safetensors" || fail "the training was not done"
grep -rlq "run folder" "$work/closed" && fail "what was printed went into a file of the run"
# A reader that has enough ends the command without a word, as it does with other programs.
"$tessera" config reference 2> "$work/err" | head -1 > /dev/null || true
[ -s "$work/err" ] && fail "a closed pipe was reported: $(cat "$work/err")"

# ---- outputs: devices, FIFOs, links
infer() {
  # shellcheck disable=SC2086
  "$tessera" infer "$exp" $settings --input "$work/set/annotations.json" --images "$images" \
    --allow-random-weights --quiet "$@"
}
infer --output "$work/plain.json" --zip "$work/plain.zip"
mkfifo "$work/fifo"
cat "$work/fifo" > "$work/from_fifo.json" &
infer --output "$work/fifo"
wait $!
cmp "$work/plain.json" "$work/from_fifo.json" || fail "a FIFO got other results"
[ -p "$work/fifo" ] || fail "the FIFO was replaced"
ln -s /proc/self/fd/1 "$work/stdout"  # as /dev/stdout is
infer --output "$work/stdout" > "$work/from_stdout.json"
[ -L "$work/stdout" ] || fail "the name of standard output was replaced"
cmp "$work/plain.json" "$work/from_stdout.json" || fail "standard output got other results"
infer --output >(cat > "$work/from_process.json")
for _ in $(seq 50); do cmp -s "$work/plain.json" "$work/from_process.json" && break; sleep 0.1; done
cmp "$work/plain.json" "$work/from_process.json" || fail "a process got other results"
cat "$work/fifo" > "$work/from_fifo.zip" &
infer --output "$work/other.json" --zip "$work/fifo"
wait $!
python3 - "$work/plain.zip" "$work/from_fifo.zip" "$work/plain.json" <<'PY'
import sys, zipfile
for file in sys.argv[1:3]:
    archive = zipfile.ZipFile(file)
    assert archive.testzip() is None and archive.namelist() == ["results.json"], file
    assert archive.read("results.json") == open(sys.argv[3], "rb").read(), file
PY
mkdir "$work/store"
echo old > "$work/store/results.json"
ln -s store/results.json "$work/link.json"
infer --output "$work/link.json"
[ -L "$work/link.json" ] || fail "the link was replaced"
cmp "$work/plain.json" "$work/store/results.json" || fail "the link's target is not the results"
expect_exit 2 "--zip FILE" infer --output "$work/fifo" --zip
expect_exit 2 "--log-json" infer --output "$work/fifo" --log-json
if $can_make_nodes; then
  null=$work/null
  mknod "$null" c 1 3
  infer --output "$null"
  "$tessera" score --ground-truth "$work/set/annotations.json" --results "$work/plain.json" --csv "$null" > "$work/out"
  "$tessera" report "$work/quiet" --output "$null" > "$work/out"
  "$tessera" weights convert "$work/quiet/last.safetensors" "$null" 2> "$work/err" && fail "expected a name to be refused"
  ln -s null "$work/null.safetensors"
  echo '[weights]' > "$work/rules.toml"
  "$tessera" weights convert "$work/quiet/last.safetensors" "$work/null.safetensors" --rename "$work/rules.toml" > "$work/out"
  ln -s null "$work/sheet.png"
  "$tessera" data view "$work/set/annotations.json" --images "$images" --output "$work/sheet.png" > "$work/out"
  expect_exit 5 "No space left" infer --output "$full"
  expect_exit 5 "No space left" "$tessera" score --ground-truth "$work/set/annotations.json" --results "$work/plain.json" --csv "$full"
  for node in "$null" "$full"; do [ -c "$node" ] || fail "$node was replaced"; done
  [ -L "$work/null.safetensors" ] && [ -L "$work/sheet.png" ] || fail "a link to a device was replaced"
else
  echo "note: no device nodes can be made here; the cases with devices were skipped"
fi

# ---- one training a run folder
# shellcheck disable=SC2086
"$tessera" train "$exp" $settings --set train.iterations=100000 --output "$work/held" > "$work/held.log" 2>&1 &
training=$!
for _ in $(seq 200); do grep -qs "^data:" "$work/held.log" && break; sleep 0.1; done
# shellcheck disable=SC2086
expect_exit 5 "locked by process $training on $(uname -n)" "$tessera" train "$exp" $settings --output "$work/held" --resume auto
kill -9 "$training"
wait "$training" 2> /dev/null || true
# shellcheck disable=SC2086
"$tessera" train "$exp" $settings --set train.iterations=2 --output "$work/held" --resume auto --allow-changes --quiet ||
  fail "a killed training left its run folder locked"

# ---- launchers whose tasks MPI does not connect
# shellcheck disable=SC2086
for variables in "PMI_SIZE=2 PMI_RANK=0" "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 SLURM_STEPID=0 SLURM_JOBID=1 SLURM_NODELIST=x" \
  "OMPI_COMM_WORLD_SIZE=2" "WORLD_SIZE=2 RANK=1 LOCAL_RANK=1" "SLURM_NTASKS=2 SLURM_PROCID=1"; do
  expect_exit 2 "--mpi=pmix" env $variables "$tessera" train "$exp" $settings --output "$work/none"
  expect_exit 2 "--mpi=pmix" env $variables "$tessera" infer "$exp" --input "$work/set/annotations.json" --output "$work/none.json"
  expect_exit 2 "--mpi=pmix" env $variables "$tessera" sweep "$root/experiments/sweeps/dense_or_deformable.toml" --output "$work/none"
  env $variables "$tessera" config check "$exp" > "$work/out" || fail "config check refused to run: $variables"
  [ ! -e "$work/none" ] || fail "a refused training left a run folder"
done
# The script of a Slurm job is one task, whatever the allocation.
SLURM_NTASKS=8 SLURM_PROCID=0 SLURM_JOB_ID=1 "$tessera" train "$exp" $settings --set train.iterations=1 \
  --output "$work/script" --quiet || fail "a plain command in a batch script was refused"

# ---- threads
unset OMP_NUM_THREADS
threads() { "$@" "$tessera" doctor --json | python3 -c 'import json, sys
for entry in json.load(sys.stdin):
    if entry["name"] == "threads": print(entry["threads"], entry["source"])'; }
one=$(taskset -pc $$ | sed 's/.*: *//; s/[,-].*//')
[ "$(threads env OMP_NUM_THREADS=1 2>&1)" != "" ] || fail "doctor names no threads"
[ "$(threads taskset -c "$one")" = "1 affinity mask" ] || [ "$(nproc)" = 1 ] || fail "affinity mask: $(threads taskset -c "$one")"
[ "$(threads env OMP_NUM_THREADS=1)" = "1 OMP_NUM_THREADS" ] || [ "$(nproc)" = 1 ] || fail "OMP_NUM_THREADS: $(threads env OMP_NUM_THREADS=1)"
[ "$(threads env OMP_NUM_THREADS=4096)" = "$(threads)" ] || fail "OMP_NUM_THREADS went beyond the processors"
[ "$(threads env OMP_PROC_BIND=true)" = "$(threads)" ] || fail "OMP_PROC_BIND changed the number of threads"
expect_exit 2 "OMP_NUM_THREADS: expected" env OMP_NUM_THREADS=none "$tessera" doctor
if [ "$(nproc)" -gt 1 ]; then
  # shellcheck disable=SC2086
  taskset -c "$one" "$tessera" bench model "$exp" --json "$work/bench.json" > "$work/out" 2>&1 || { cat "$work/out"; fail "bench model"; }
  grep -q '"threads": 1' "$work/bench.json" || fail "operators do not follow the affinity mask: $(cat "$work/bench.json")"
fi
