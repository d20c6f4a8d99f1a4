#!/usr/bin/env bash
# docs/first_experiment.md and docs/performance.md as they stand there: their commands in their order, at a tiny size.
source "$(dirname "$0")/lib.sh"
unset TESSERA_PLUGIN_PATH
mkdir -p "$work/walk"
cd "$work/walk"
ln -s "$root/experiments" experiments
# What the quick start leaves.
for set in train selection held_out; do
  "$tessera" data synth --output "runs/quickstart/data/$set" --videos 2 --frames 5 --height 64 --width 96 --seed 1 > /dev/null
done
"$tessera" train experiments/quickstart_backbone.toml --output runs/quickstart/backbone --set train.iterations=2 --quiet \
  --set data.train.annotations=runs/quickstart/data/train/annotations.json \
  --set data.train.images=runs/quickstart/data/train/frames

for page in first_experiment performance; do
  "$root/scripts/page-commands" "$root/docs/$page.md"
done | sed -E 's/^iterations = .*/iterations = 2/; s/^evaluate_every = .*/evaluate_every = 2/; s/--iterations 20/--iterations 2/' > commands.sh
[ "$(grep -cE '^ *tessera ' commands.sh)" -ge 12 ] || { cat commands.sh; fail "expected the commands of both pages"; }
PATH=$build/bin:$PATH bash -euo pipefail commands.sh > out 2>&1 || { tail -40 out; fail "a command of the pages failed"; }
diff <(sed 's/num_points = [14]//' runs/one_point/resolved.toml) <(sed 's/num_points = [14]//' runs/four_points/resolved.toml) \
  || fail "the two runs differ in more than the points"
grep -q '^- model.encoder.attention = .*num_points = 4' out && grep -q '^+ model.encoder.attention = .*num_points = 1' out \
  || { cat out; fail "the difference is not shown"; }
[ "$(grep -c '^category .* AP50' out)" = 2 ] || { cat out; fail "expected two scores"; }
[ -s runs/one_point/report.html ] || fail "no report"
[ "$(wc -l < runs/profile/profile.jsonl)" = 2 ] || fail "expected a profile of two steps"
# Mistakes are named, as the page says.
expect_exit 2 "Did you mean 'num_points'" "$tessera" config check one_point.toml --set model.encoder.attention.num_pionts=1
