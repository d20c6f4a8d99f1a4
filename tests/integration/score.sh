#!/usr/bin/env bash
# tessera score as a user runs it: table, JSON, CSV and diagnostics say the same; what is wrong is said in a line.
source "$(dirname "$0")/lib.sh"
make_data set 2
truth=$work/set/annotations.json
# The ground truth as predictions, each broken in two after its second frame.
python3 - "$truth" "$work/results.json" <<'PY'
import json, sys
truth = json.load(open(sys.argv[1]))
results = []
for i, annotation in enumerate(truth["annotations"]):
    masks = annotation["segmentations"]
    for part, score in ((masks[:2] + [None] * (len(masks) - 2), 0.9), ([None] * 2 + masks[2:], 0.8)):
        results.append({"video_id": annotation["video_id"], "category_id": annotation["category_id"],
                        "score": score - 0.001 * i, "segmentations": part})
json.dump(results, open(sys.argv[2], "w"))
PY
score=("$tessera" score --ground-truth "$truth" --results "$work/results.json")
"${score[@]}" --diagnose --csv "$work/scores.csv" --json > "$work/scores.json"
python3 - "$work/scores.json" "$work/scores.csv" <<'PY'
import csv, json, sys
document, rows = json.load(open(sys.argv[1])), list(csv.DictReader(open(sys.argv[2])))
assert len(rows) == len(document["per_category"]) + 1, rows
whole = rows[-1]
assert whole["category"] == "all" and whole["category_id"] == "", whole
for name, value in document["stats"].items():
    assert float(whole[name]) == value, (name, whole[name], value)
diagnostics = document["diagnostics"]
for row, entry in zip(rows, diagnostics["per_category"] + [diagnostics]):
    for group, stats in entry.items():
        if isinstance(stats, dict):
            for name, value in stats.items():
                assert float(row[f"{group}.{name}"]) == value, (group, name)
assert abs(diagnostics["windows"]["AP_1"] - 1) < 1e-9, diagnostics["windows"]
assert diagnostics["windows"]["AP_full"] == document["stats"]["AP"] < 0.6, document["stats"]
assert diagnostics["oracle_gain"]["identity"] > 0.3, diagnostics["oracle_gain"]
assert diagnostics["tracking"]["DetA"] > diagnostics["tracking"]["AssA"], diagnostics["tracking"]
PY
"${score[@]}" --diagnose --per-category > "$work/table.txt"
grep -q "HOTA" "$work/table.txt" || fail "no HOTA in the table"
"${score[@]}" --json | grep -q diagnostics && fail "diagnostics without being asked for"

one_line() { [ "$(wc -l < "$work/err")" = 1 ] || { cat "$work/err"; fail "expected an error of one line"; }; }
expect_exit 2 "--diagnose: expected to be used without --compatible" "${score[@]}" --diagnose --compatible
one_line
expect_exit 2 "--diagnose" "${score[@]}" --score-threshold 0.5
expect_exit 2 "--score-threshold" "${score[@]}" --diagnose --score-threshold often
expect_exit 5 "none/scores.csv: expected a folder that can be written" "${score[@]}" --csv "$work/none/scores.csv"
one_line
sed -E 's/"counts": "[^"]*"/"counts": "11"/' "$work/results.json" > "$work/broken.json"
expect_exit 4 "broken.json: result 0 (video 1): frame 0: expected runs that sum to" \
  "$tessera" score --ground-truth "$truth" --results "$work/broken.json" --diagnose
one_line
