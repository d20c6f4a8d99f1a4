#!/usr/bin/env bash
# Commands in the documents: see docs_commands.py.
source "$(dirname "$0")/lib.sh"
unset TESSERA_PLUGIN_PATH
ln -s "$root/experiments" "$work/experiments"
# The files that documents speak of.
"$tessera" data synth --output "$work/valid" --videos 2 --frames 4 --height 32 --width 48 --seed 1 > /dev/null
cp "$work/valid/annotations.json" "$work/valid.json"
echo '[]' > "$work/results.json"
python3 "$root/tests/integration/docs_commands.py" "$tessera" "$root" "$work"
