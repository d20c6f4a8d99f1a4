#!/usr/bin/env bash
# A plugin that was added as two files, with no edit anywhere, is found, described, checked and used.
source "$(dirname "$0")/lib.sh"
export TESSERA_PLUGIN_PATH=$build/fixtures/two_files
"$tessera" plugins list | grep "average_pool" > /dev/null || fail "not listed"
"$tessera" plugins describe attention average_pool | grep "with_bias  (boolean, default true)" > /dev/null || fail "not described"
"$tessera" plugins check "$TESSERA_PLUGIN_PATH/libtessera_attention_average_pool.so" || fail "not checked"
make_data set 1
"$tessera" train "$root/experiments/smoke/vistr.toml" --set model.encoder.attention.plugin=average_pool \
  $(data_settings set) --set train.iterations=2 --output "$work/run"
grep -q 'plugin = "average_pool"' "$work/run/resolved.toml" || fail "not used"
