#!/usr/bin/env bash
# A profile and a log of its own for every rank, and a job that says nothing where nobody wants to hear.
source "$(dirname "$0")/lib.sh"
make_data set 1
experiment=$root/experiments/smoke/simvtr.toml
ranks 2 "$tessera" train "$experiment" $(data_settings set) --set train.total_batch=2 --set train.iterations=3 \
  --output "$work/run" --profile --log-json --quiet > "$work/out" 2> "$work/err" || { cat "$work/err"; fail "training"; }
[ -s "$work/out" ] && { cat "$work/out"; fail "expected silence"; }
python3 - "$work/run" <<'PY'
import json, pathlib, sys
run = pathlib.Path(sys.argv[1])
for rank, name in enumerate(["profile.jsonl", "profile-1.jsonl"]):
    lines = [json.loads(line) for line in (run / name).read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3], (name, lines)
    assert all(line["rank"] == rank and line["time"] > 1.6e9 for line in lines), (name, lines)
    assert all(0 <= line["exposed"] <= line["backward"] <= line["seconds"] for line in lines), (name, lines)
PY
"$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$(image_folder "$work/set")" --quiet \
  --weights "$work/run/last.safetensors" --output "$work/results.json" > "$work/out" 2>&1 || { cat "$work/out"; fail "inference"; }
[ -s "$work/out" ] && { cat "$work/out"; fail "expected silence from infer"; }
[ -s "$work/results.json" ] || fail "no results"

# What every rank did, for programs: appended by the next command, and with the error that ended a job.
ranks 2 "$tessera" train "$experiment" $(data_settings set) --set train.total_batch=2 --set train.iterations=4 \
  --output "$work/run" --log-json --quiet --resume auto || fail "resuming"
# A frame that one rank comes by, late enough for both to be training.
cp -r "$work/set" "$work/broken"
echo broken > "$(find "$(image_folder "$work/broken")" -type f | sort | sed -n 3p)"
status=0
ranks 2 "$tessera" train "$experiment" $(data_settings broken) --set train.total_batch=2 --set train.iterations=40 \
  --set data.workers=1 --output "$work/failed" --log-json --quiet > "$work/out" 2> "$work/err" || status=$?
[ $status -ne 0 ] || fail "expected an error of the broken frame"
# A rank that is killed says nothing more; the other one says who it was, also where its main is not reached.
ranks 2 "$tessera" train "$experiment" $(data_settings set) --set train.total_batch=2 --set train.iterations=4000 \
  --output "$work/killed" --log-json --quiet > "$work/out" 2> "$work/err" &
job=$!
for _ in $(seq 600); do
  ! grep -q '"iteration"' "$work/killed/log-1.jsonl" 2> /dev/null || break
  sleep 0.1
done
kill -9 "$(sed -n 's/.*"event":"start".*"process":\([0-9]*\).*/\1/p' "$work/killed/log-1.jsonl")"
status=0
wait $job || status=$?
[ $status -ne 0 ] || fail "expected an error of the killed rank"
status=0
ranks 2 "$tessera" train "$experiment" --set train.nonsense=1 --output "$work/refused" --log-json \
  > "$work/out" 2> "$work/err" || status=$?
[ $status -ne 0 ] || fail "expected an error of an unknown key"
"$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$(image_folder "$work/set")" --quiet \
  --weights "$work/run/last.safetensors" --output "$work/results.json" --log-json || fail "inference"
python3 - "$work" <<'PY'
import json, pathlib, re, sys
work = pathlib.Path(sys.argv[1])
def read(name, rank):
    lines = [json.loads(line) for line in (work / name).read_text().splitlines()]
    assert lines and lines[0]["event"] == "start" and lines[-1]["event"] == "end", (name, lines)
    for line in lines:
        assert list(line)[:6] == ["time", "rank", "host", "level", "event", "message"], (name, line)
        assert line["rank"] == rank and line["host"] and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", line["time"]), (name, line)
    return lines
def files(folder):
    return [read(f"{folder}/log.jsonl", 0), read(f"{folder}/log-1.jsonl", 1)]
for rank, lines in enumerate(files("run")):
    events = [line["event"] for line in lines]
    assert events.count("start") == events.count("end") == 2 and events.count("resume") == 1, events
    assert [line["iteration"] for line in lines if line["event"] == "iteration"] == [1, 3, 4], lines
    assert all(line["exit_code"] == 0 for line in lines if line["event"] == "end"), lines
    # Rank 0 alone writes checkpoints.
    assert [line["iteration"] for line in lines if line["event"] == "checkpoint"] == ([3, 4] if rank == 0 else []), lines
failed = files("failed")
codes = [lines[-1]["exit_code"] for lines in failed]
assert 4 in codes and 0 not in codes, codes
for lines in failed:
    error = [line for line in lines if line["event"] == "error"]
    assert len(error) == 1 and error[0]["level"] == "error" and error[0]["exit_code"] == lines[-1]["exit_code"], lines
    assert ".jpg: expected" in error[0]["message"] or "another rank failed" in error[0]["message"], error
killed = read("killed/log.jsonl", 0)
assert [line["event"] for line in killed[-2:]] == ["error", "end"] and killed[-1]["exit_code"] == 5, killed
assert re.match(r"rank 1 on .* was killed", killed[-2]["message"]), killed[-2]
assert '"end"' not in (work / "killed/log-1.jsonl").read_text()
# The first rank to see it may end the other before that has said so.
refused = [path for path in (work / "refused").glob("log*.jsonl") if "exit_code" in path.read_text()]
assert refused, "no rank said why"
for path in refused:
    lines = read(path, int(path.stem.removeprefix("log").removeprefix("-") or 0))
    assert [line["event"] for line in lines] == ["start", "error", "end"] and lines[-1]["exit_code"] == 2, lines
    assert "train.nonsense" in lines[1]["message"], lines
inferred = read("results.log.jsonl", 0)
assert [line["event"] for line in inferred] == ["start", "weights", "video", "video", "video", "results", "end"], inferred
assert inferred[2]["frames"] == 5 and inferred[5]["videos"] == 3, inferred
PY
