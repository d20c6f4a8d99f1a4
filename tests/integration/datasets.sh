#!/usr/bin/env bash
# The commands of docs/datasets.md on a stand-in for YouTube-VIS 2019 with its tree and its 40 categories, and the
# paths of all experiments against the page.
source "$(dirname "$0")/lib.sh"
document=$root/docs/datasets.md
mkdir "$work/empty"
cd "$work/empty"
ln -s "$root/experiments" experiments

# The archive, unpacked elsewhere: frames of generated videos, as many categories as the real set.
"$tessera" data synth --output "$work/synth" --videos 10 --frames 3 --height 32 --width 48 --seed 2 > /dev/null
mkdir -p "$work/archive/train"
ln -s "$(image_folder "$work/synth")" "$work/archive/train/JPEGImages"
python3 - "$work/synth/annotations.json" "$work/archive" <<'PY'
import json, sys
data = json.load(open(sys.argv[1]))
known = {category["id"] for category in data["categories"]}
data["categories"] += [{"id": i, "name": f"category {i}"} for i in range(1, 41) if i not in known]
json.dump(data, open(sys.argv[2] + "/train.json", "w"))
json.dump({key: data[key] for key in ("videos", "categories")}, open(sys.argv[2] + "/valid.json", "w"))  # hidden ground truth
PY
"$root/scripts/page-commands" "$document" | sed "s#/data/YouTube-VIS-2019#$work/archive#" > "$work/commands.sh"
PATH=$build/bin:$PATH bash -euo pipefail "$work/commands.sh" > "$work/out" 2>&1 || { cat "$work/out"; fail "a command of $document failed"; }
grep -q ' 0 faults' "$work/out" || { cat "$work/out"; fail "data check found faults"; }
python3 - <<'PY'
import json
train, valid = (json.load(open(f"datasets/ytvis2019/split/{name}.json")) for name in ("train", "valid"))
assert len(train["videos"]) == 9 and len(valid["videos"]) == 1 and valid["annotations"], "the split cannot be scored"
PY
expect_exit 4 "annotations" "$tessera" score --ground-truth datasets/ytvis2019/valid.json --results <(echo '[]')

# Every path that a shipped experiment names is on the page.
for experiment in "$root"/experiments/*.toml; do
  "$tessera" config show "$experiment"
done | grep -oE '"datasets/[^"]+"' | tr -d '"' | sort -u > "$work/paths"
[ "$(wc -l < "$work/paths")" -ge 12 ] || { cat "$work/paths"; fail "expected the paths of four data sets"; }
while read -r path; do
  grep -qF "\`$path\`" "$document" || fail "$document does not name $path"
done < "$work/paths"
