#!/usr/bin/env bash
# What helps a newcomer: doctor, completion, an example in every help.
source "$(dirname "$0")/lib.sh"

"$tessera" doctor --json > "$work/doctor.json" || true  # a small machine is a problem, not a fault
python3 - "$work/doctor.json" <<'PY'
import json, sys
found = {entry["name"]: entry for entry in json.load(open(sys.argv[1]))}
assert {"Tessera", "LibTorch", "CPU", "memory", "CUDA", "MPI", "OpenCV", "plugins"} <= set(found), found
assert int(found["plugins"]["found"].split(",")[0]) >= 10 and not found["plugins"]["problem"], found
PY
"$tessera" doctor | grep -q $'\x1b' && fail "escape codes that no terminal asked for"
mkdir "$work/plugins"
echo broken > "$work/plugins/libtessera_attention_broken.so"
status=0
TESSERA_PLUGIN_PATH=$work/plugins "$tessera" doctor > "$work/out" || status=$?
[ "$status" = 1 ] || fail "expected exit 1 for a broken plugin, got $status"
grep -q "^PROBLEM *plugin .*libtessera_attention_broken.so" "$work/out" || { cat "$work/out"; fail "the broken plugin is not named"; }

# complete WORD...: what the shell offers for the last of them.
complete_words() {
  bash -c 'source <("$1" completion bash); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tessera; echo "${COMPREPLY[*]}"' _ "$tessera" "$@"
}
[ "$(complete_words tessera tra)" = train ] || fail "tra<TAB>: $(complete_words tessera tra)"
[ "$(complete_words tessera plugins des)" = describe ] || fail "plugins des<TAB>: $(complete_words tessera plugins des)"
[ "$(complete_words tessera config siz)" = size ] || fail "config siz<TAB>: $(complete_words tessera config siz)"
[ "$(complete_words tessera data convert --fro)" = --from ] || fail "data convert --fro<TAB>: $(complete_words tessera data convert --fro)"
[ "$(complete_words tessera bench mo)" = model ] || fail "bench mo<TAB>: $(complete_words tessera bench mo)"
[ "$(complete_words tessera bench model --inst)" = --instances ] || fail "bench model --inst<TAB>: $(complete_words tessera bench model --inst)"
"$tessera" bench model --help | sed -n '/^Example/,$p' | grep -q "tessera bench model" || fail "bench model --help has no example"
[ "$(complete_words tessera train some.toml --outp)" = --output ] || fail "train FILE --outp<TAB>: $(complete_words tessera train some.toml --outp)"

# Every command's help ends with an example.
"$tessera" config size --help | grep -q "Example: tessera config size" || fail "config size --help has no example"
"$tessera" --help | sed -n '/^Subcommands:/,/^Example/p' | grep -oE '^  [a-z]+' | while read -r command; do
  "$tessera" "$command" --help > "$work/help"
  sed -n '/^Example/,$p' "$work/help" | grep -q "tessera $command" || { cat "$work/help"; fail "$command --help has no example"; }
done
