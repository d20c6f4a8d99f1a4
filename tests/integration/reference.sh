#!/usr/bin/env bash
# The references under docs/ are what the schemas say.
source "$(dirname "$0")/lib.sh"
unset TESSERA_PLUGIN_PATH
compare() { # FILE COMMAND...: the file is the command's output
  local file=$1
  shift
  "$tessera" "$@" > "$work/now.md" || fail "tessera $*"
  diff -u "$root/$file" "$work/now.md" || fail "$file is not what the source says. Run: tessera $* > $file"
}
compare docs/reference/configuration.md config reference
compare docs/reference/plugins.md plugins describe --markdown
"$tessera" plugins describe attention dense --markdown | grep -q '^| `num_heads` | integer, >= 1 | `8` |' \
  || fail "one plugin by itself"
expect_exit 2 "a kind and a name" "$tessera" plugins describe attention
