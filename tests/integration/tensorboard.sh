#!/usr/bin/env bash
# What training writes for TensorBoard says the same as metrics.jsonl: read by a small reader of the
# format, and by the package `tensorboard` where it is installed.
source "$(dirname "$0")/lib.sh"
make_data set 1
train() {
  "$tessera" train "$root/experiments/smoke/vistr.toml" $(data_settings set) --set train.tensorboard=true \
    --set train.log_every=1 --set train.checkpoint_every=2 --output "$work/run" "$@" > /dev/null
}
train --set train.iterations=4 --iterations 2
sleep 1  # the file's name has the second of its start
train --set train.iterations=4 --resume auto
[ "$(find "$work/run" -name 'events.out.tfevents.*' | wc -l)" = 2 ] || fail "expected a file for each start"

python3 - "$work/run" <<'PY'
import glob, json, struct, sys
run = sys.argv[1]
said = {}
for line in open(run + "/metrics.jsonl"):
    entry = json.loads(line)
    said[entry["iteration"]] = entry

def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

def records(file):
    data, at = open(file, "rb").read(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 8)[0] == masked_crc(data[at : at + 8]), "crc of the length"
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked_crc(event), "crc of the event"
        yield event
        at += 16 + length

events = [list(records(file)) for file in sorted(glob.glob(run + "/events.out.tfevents.*"))]
assert all(b"brain.Event:2" in file[0] for file in events)
assert sum(b"train/total" in event for file in events for event in file) == len(said) == 4

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("tensorboard is not installed: its own reader was not tried")
    sys.exit()
seen = EventAccumulator(run).Reload()
tags = seen.Tags()["scalars"]
assert {"train/total", "train/learning_rate", "train/gradient_norm", "time/step_seconds"} <= set(tags), tags
for scalar in seen.Scalars("train/total"):
    assert abs(scalar.value - said[scalar.step]["total"]) <= 1e-6 * abs(scalar.value), scalar
assert [scalar.step for scalar in seen.Scalars("train/total")] == [1, 2, 3, 4]
print("read by tensorboard:", ", ".join(tags))
PY
