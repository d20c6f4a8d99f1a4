#!/usr/bin/env bash
# A plugin of one's own, outside the tree: `tessera plugins new` against an installed Tessera, built,
# checked, tested and used. KINDS: those to try (default: attention; "all" for every kind).
source "$(dirname "$0")/lib.sh"
kinds=${KINDS:-attention}
[ "$kinds" != all ] || kinds="attention augmentation auxiliary backbone decoder encoder feature_loss instance_head linker loss mask_head matcher sampler tracker"

cmake --install "$build" --prefix "$work/installed" > /dev/null
installed=$work/installed/bin/tessera
for kind in $kinds; do
  project=$work/my_$kind
  (cd "$work" && "$installed" plugins new "$kind" "my_$kind") > /dev/null
  cmake -S "$project" -B "$project/build" -DCMAKE_PREFIX_PATH="$work/installed" > "$work/log" 2>&1 &&
    cmake --build "$project/build" >> "$work/log" 2>&1 || { cat "$work/log" >&2; fail "$kind: not built"; }
  ctest --test-dir "$project/build" --output-on-failure --no-tests=error > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "$kind: its tests fail"; }
  grep -q '100% tests passed, 0 tests failed out of 2' "$work/log" || { cat "$work/log" >&2; fail "$kind: expected the contract and a test"; }
  export TESSERA_PLUGIN_PATH=$project/build/lib/tessera/plugins
  "$installed" plugins describe "$kind" "my_$kind" > /dev/null || fail "$kind: not described"
done

# In use, by what the project's README says.
if [[ " $kinds " == *" attention "* ]]; then
  export TESSERA_PLUGIN_PATH=$work/my_attention/build/lib/tessera/plugins
  setting=$(grep -o 'model\.[a-z_.]*=my_attention' "$work/my_attention/README.md")
  make_data set 1
  "$installed" train "$root/experiments/smoke/vistr.toml" --set "$setting" $(data_settings set) \
    --set train.iterations=2 --output "$work/run" > /dev/null
  grep -q 'plugin = "my_attention"' "$work/run/resolved.toml" || fail "not used"
fi

if [[ " $kinds " == *" augmentation "* && " $kinds " == *" sampler "* ]]; then
  export TESSERA_PLUGIN_PATH=$work/my_augmentation/build/lib/tessera/plugins:$work/my_sampler/build/lib/tessera/plugins
  grep -qF 'data.augment.steps=[{kind="my_augmentation"}]' "$work/my_augmentation/README.md" || fail "augmentation: no use"
  make_data clips 1
  "$installed" train "$root/experiments/smoke/vistr.toml" --set 'data.augment.steps=[{kind="my_augmentation"}]' \
    --set data.sampling.kind=my_sampler $(data_settings clips) --set train.iterations=2 --output "$work/clips_run" > /dev/null
  grep -q 'kind = "my_augmentation"' "$work/clips_run/resolved.toml" || fail "augmentation: not used"
  grep -q 'kind = "my_sampler"' "$work/clips_run/resolved.toml" || fail "sampler: not used"
fi

# What cannot be.
expect_exit 2 "Did you mean 'attention'" "$installed" plugins new atention mine
expect_exit 2 "begins with a letter" "$installed" plugins new attention My-Net
expect_exit 5 "an empty folder" "$installed" plugins new attention mine --output "$work"
