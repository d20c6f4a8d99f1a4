#!/usr/bin/env bash
# docs/recipes.md is what the published experiments and the authors' values give; an experiment that leaves its
# recipe is noticed.
source "$(dirname "$0")/lib.sh"
unset TESSERA_PLUGIN_PATH
write() { # FOLDER ARGUMENTS...: the page of the experiments and values in FOLDER
  python3 "$1/docs/recipes/write_table.py" --tessera "$tessera" "${@:2}"
}
write "$root" > "$work/now.md" || fail "docs/recipes/write_table.py"
diff -u "$root/docs/recipes.md" "$work/now.md" \
  || fail "docs/recipes.md is not what the experiments say. Run: docs/recipes/write_table.py > docs/recipes.md"

# A copy in which a value, an experiment and a reason are wrong.
mkdir -p "$work/copy/docs"
cp -r "$root/experiments" "$work/copy/"
cp -r "$root/docs/recipes" "$work/copy/docs/"
cd "$work/copy"
expect_problem() { # EXPERIMENT TEXT: the page is refused and the problems hold that text
  if write "$work/copy" --only "$1" > /dev/null 2> "$work/problems"; then fail "expected a problem: $2"; fi
  grep -qF -- "$2" "$work/problems" || { cat "$work/problems"; fail "expected the problem: $2"; }
}
write "$work/copy" --only vistr_r50 > /dev/null || fail "the copy without a mistake"
sed -i 's/^total_batch = 16 .*/total_batch = 32/' experiments/base/seqformer_recipe.toml
expect_problem seqformer_r50_ytvis2019 "seqformer_r50_ytvis2019: train.total_batch: expected the official 16"
cp "$root/experiments/base/seqformer_recipe.toml" experiments/base/
cp experiments/vistr_r50.toml experiments/vistr_r18.toml
expect_problem vistr_r18 "experiments/vistr_r18.toml: expected one file of docs/recipes with its values, got none"
rm experiments/vistr_r18.toml
sed -i 's/^lr = 1e-4$/lr = 2e-4/' experiments/base/ifc_recipe.toml
expect_problem ifc_r50_ytvis2019 "ifc_r50_ytvis2019: train.optimiser.lr: expected the official 0.0001"
cp "$root/experiments/base/ifc_recipe.toml" experiments/base/
sed -i '/"SOLVER.MAX_ITER"/d' docs/recipes/ifc.toml
expect_problem ifc_r50_ytvis2019 "ifc_r50_ytvis2019: expected a row for train.epochs or train.iterations, got none"
cp "$root/docs/recipes/ifc.toml" docs/recipes/
sed -i 's/{ key = "--epochs", official = 18,/{ key = "--epochs", reason = "none", official = 18,/' docs/recipes/vistr.toml
expect_problem vistr_r50 "vistr_r50: train.epochs: a reason for a difference, but both are 18"
