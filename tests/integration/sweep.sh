#!/usr/bin/env bash
# tessera sweep: every variant with every seed, a table, and no run twice.
source "$(dirname "$0")/lib.sh"
make_data set 1
cat > "$work/sweep.toml" <<TOML
description = "deformable and dense"
experiment = "$root/experiments/smoke/deformable_vistr.toml"
seeds = 2
set = ["train.iterations=2", "train.evaluate_every=2", "train.checkpoint_every=2"]
[[variants]]
name = "deformable"
[[variants]]
name = "dense"
set = [
  'model.encoder.attention={plugin="dense", num_heads=8}',
  'model.decoder.cross_attention={plugin="dense", num_heads=8}',
]
TOML
settings() {
  data_settings set
  echo --set "data.validation.annotations=$work/set/annotations.json" \
    --set "data.validation.images=$(image_folder "$work/set")"
}
sweep() {
  "$tessera" sweep "$work/sweep.toml" $(settings) --output "$work/runs" "$@"
}
sweep --variant deformable --seeds 1 > "$work/first.log"
grep -q '^| deformable | [0-9.]* | [0-9.]* | 1 |' "$work/runs/table.md" || fail "expected one run of deformable"
grep -q '^| dense | - ' "$work/runs/table.md" || fail "expected no run of dense"
sweep > "$work/second.log"
grep -q '4 runs, 1 of them complete, 3 to do' "$work/second.log" || fail "expected three runs to be missing"
grep -q '^| dense | [0-9.]* ± [0-9.]* | [0-9.]* ± [0-9.]* | 2 |' "$work/runs/table.md" || fail "expected two runs of dense"
grep -q '<svg' "$work/runs/plot.html" || fail "expected a plot"
grep -q '"deviation"' "$work/runs/sweep.json" || fail "expected deviations"
sweep --table-only > "$work/third.log"
grep -q '4 of them complete, 0 to do' "$work/third.log" || fail "expected nothing to do"
expect_exit 2 "expected a run of this sweep" sweep --set train.optimiser.lr=1e-5
expect_exit 2 "expected one of deformable, dense" sweep --variant sparse
