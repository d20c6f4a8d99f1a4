#!/usr/bin/env bash
# parity_check must fail a case in which one stored number was changed: one each of an output, an
# intermediate, a match, a loss and a gradient, and one in which a tensor was added.
set -euo pipefail
parity_check=$1
shared=${TESSERA_SHARED:-$2}
source_case=$shared/parity/defvistr/r50_loss
if [ ! -d "$source_case" ]; then
  echo "skipped: no reference data at $shared"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(cd "$(dirname "$0")" && pwd)
python=${TESSERA_PYTHON:-$here/../../.venv/bin/python}
[ -x "$python" ] || python=python3
export TESSERA_SHARED=$shared
cases=()
while read -r name tensor; do
  cp -r "$source_case" "$work/$name"
  chmod -R u+w "$work/$name"
  "$python" "$here/tamper.py" "$work/$name/outputs.safetensors" "$tensor"
  cases+=("$work/$name")
done <<'LIST'
output pred_boxes
intermediate mid.memory
match match.slot
loss loss.loss_giou
gradient grad.insmask_head.9.weight
added new.tensor
LIST
"$parity_check" --json "${cases[@]}" > "$work/report.json" && { echo "expected a failure, got exit 0"; exit 1; }
"$python" - "$work/report.json" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
wrong = [case for case in report if case["passed"]]
failed = [[t["name"] for t in case["tensors"] if not t["passed"]] for case in report]
print("tensors that failed, case by case:", failed)
assert len(report) == 6 and not wrong, "every tampered case must fail"
assert all(len(names) == 1 for names in failed), "only the tampered tensor may fail"
PY
