#!/usr/bin/env bash
# docs/own_attention.md as it stands there: its source, its commands in their order, at a tiny size.
source "$(dirname "$0")/lib.sh"
document=$root/docs/own_attention.md
unset TESSERA_PLUGIN_PATH
mkdir -p "$work/walk/build"
cd "$work/walk"
ln -s "$root/experiments" experiments
ln -s "$build" build/release
# What the quick start leaves.
for set in train selection held_out; do
  "$tessera" data synth --output "runs/quickstart/data/$set" --videos 2 --frames 5 --height 64 --width 96 --seed 1 > /dev/null
done
frames=runs/quickstart/data/train/frames
"$tessera" train experiments/quickstart_backbone.toml --output runs/quickstart/backbone --set train.iterations=2 \
  --set data.train.annotations=runs/quickstart/data/train/annotations.json --set "data.train.images=$frames" > /dev/null

"$root/scripts/page-commands" "$document" |
  sed -E 's/^iterations = .*/iterations = 2/; s/^evaluate_every = .*/evaluate_every = 2/' > "$work/commands.sh"
[ "$(grep -cE '^(tessera|cmake|ctest|installed)' "$work/commands.sh")" -ge 14 ] || fail "expected the commands of $document"
PATH=$build/bin:$PATH bash -euo pipefail "$work/commands.sh" > "$work/out" 2>&1 || { tail -40 "$work/out"; fail "a command of $document failed"; }
grep -q 'log_sharpness' cosine/cosine.cpp || fail "the page's source was not built"
grep -q 'plugin = "cosine"' runs/cosine/resolved.toml || fail "not used"
grep -q 'AP50' "$work/out" || fail "no score"
[ "$(find runs/cosine/explained -name '*.png' | wc -l)" = 2 ] || fail "expected a picture for each video"
[ -s runs/cosine/report.html ] || fail "no report"
