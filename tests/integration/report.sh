#!/usr/bin/env bash
# The report as a browser shows it: no plot is empty, clips play, nothing comes from elsewhere.
source "$(dirname "$0")/lib.sh"
browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}

make_data set 1
experiment=$root/experiments/smoke/simvtr.toml
images=$(image_folder "$work/set")
train() { # NAME OVERRIDE
  "$tessera" train "$experiment" $(data_settings set) --set "data.validation.annotations=$work/set/annotations.json" \
    --set "data.validation.images=$images" --set train.iterations=4 --set train.log_every=1 --set train.evaluate_every=2 \
    --set "$2" --profile --output "$work/$1" > /dev/null
  "$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$images" \
    --weights "$work/$1/last.safetensors" --output "$work/$1/results.json" > /dev/null
}
train one train.seed=1
train two train.optimiser.lr=2e-4
"$tessera" report "$work/one" "$work/two" --ground-truth "$work/set/annotations.json" --images "$images" --clips 1 \
  --title "Two runs" --output "$work/report.html" > /dev/null
grep -q '<td>train.optimiser.lr</td><td>1e-04</td><td>2e-04</td>' "$work/report.html" || fail "the runs' difference is not named"
grep -oE '(src|href)="[^"]{0,12}' "$work/report.html" | grep -v 'src="data:' && fail "something is fetched from elsewhere"
if [ -z "$browser" ]; then
  echo "SKIPPED: no Chromium to look at the report with (CHROMIUM=...)"
  exit 77
fi
python3 "$root/tests/integration/look_at_report.py" "$browser" "$work/report.html" "$work"
# A plot without its lines must be seen.
sed 's/<polyline[^>]*>//g' "$work/report.html" > "$work/empty.html"
python3 "$root/tests/integration/look_at_report.py" "$browser" "$work/empty.html" "$work" > "$work/log" 2>&1 \
  && fail "empty plots were not seen"
grep -q 'empty plot' "$work/log" || { cat "$work/log"; fail "empty plots were not named"; }
