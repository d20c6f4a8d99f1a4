#!/usr/bin/env bash
# The commands of docs/your_own_data.md, taken from it and run in their order.
source "$(dirname "$0")/lib.sh"
document=$root/docs/your_own_data.md
mkdir "$work/empty"
ln -s "$root/experiments" "$work/empty/experiments"
"$root/scripts/page-commands" "$document" > "$work/commands.sh"
count=$(grep -cE '^tessera ' "$work/commands.sh")
[ "$count" -ge 10 ] || fail "expected at least 10 commands in $document, got $count"
cd "$work/empty"
PATH=$build/bin:$PATH bash -euo pipefail "$work/commands.sh" > "$work/out" 2>&1 || { cat "$work/out"; fail "a command of $document failed"; }

grep -q ' 0 faults' "$work/out" || { cat "$work/out"; fail "check found faults in a generated set"; }
grep -q '^category .*AP50' "$work/out" || { cat "$work/out"; fail "no score"; }
[ -s sheet.png ] || fail "no contact sheet"
python3 - <<'PY'
import json, struct
whole, train, valid = (json.load(open(f"mine/{name}.json")) for name in ("annotations", "train", "valid"))
assert len(whole["videos"]) == 20 and (len(train["videos"]), len(valid["videos"])) in [(16, 4), (15, 5), (17, 3)], "another split"
assert not {v["id"] for v in train["videos"]} & {v["id"] for v in valid["videos"]}, "a video in both parts"
assert len(train["annotations"]) + len(valid["annotations"]) == len(whole["annotations"])
results = json.load(open("runs/mine/results.json"))
assert {r["video_id"] for r in results} <= {v["id"] for v in valid["videos"]} and results, "results of other videos"
width, height = struct.unpack(">II", open("sheet.png", "rb").read()[16:24])
assert width > 1000 and height > 500, (width, height)
PY

# The same data as a joint set: the TOML of the document with what there is here.
cat > joint.toml <<'EOF'
extends = "mine.toml"
[data.train]
annotations = ""
images = ""
[[data.train.sets]]
annotations = "mine/train.json"
images = "mine/JPEGImages"
ratio = 0.5
[[data.train.sets]]
kind = "coco"
annotations = "coco.json"
images = "mine/JPEGImages"
class_map = [[7, 1], [8, 2]]
pseudo_clip = { rotate = 10.0 }
EOF
python3 - <<'PY'
import json
train = json.load(open("mine/train.json"))
video = train["videos"][0]
polygon = [[10.0, 10.0, 50.0, 12.0, 40.0, 50.0]]
json.dump({"categories": [{"id": i, "name": str(i)} for i in (7, 8, 9)],
           "images": [{"id": i, "width": 96, "height": 64, "file_name": name} for i, name in enumerate(video["file_names"])],
           "annotations": [{"id": i, "image_id": i // 3, "category_id": 7 + i % 3, "segmentation": polygon}
                           for i in range(3 * len(video["file_names"]))]}, open("coco.json", "w"))
PY
"$tessera" train joint.toml --output runs/joint > "$work/out" || { cat "$work/out"; fail "joint training failed"; }
"$tessera" train joint.toml --output runs/joint_twice > /dev/null
python3 - <<'PY'
import json
def losses(run): return [(l["total"], l["terms"]) for l in map(json.loads, open(f"runs/{run}/metrics.jsonl"))]
assert losses("joint") == losses("joint_twice") and losses("joint"), "the same seed gave other losses"
PY

# What is wrong gets exit code 4 and every fault is listed.
sed -E '0,/"file_names":\["/s//"file_names":["..\/..\//; s/"iscrowd":0/"iscrowd":7/' mine/train.json > broken.json
expect_exit 4 "expected no fault, got" "$tessera" data check broken.json
grep -q "within the data folder" "$work/out" || fail "the name that leaves the folder is not listed"
[ "$(grep -c "^fault: .*'iscrowd'" "$work/out")" = "$(grep -o '"iscrowd":7' broken.json | wc -l)" ] || { cat "$work/out"; fail "not every fault was listed"; }
expect_exit 4 "within the data folder" "$tessera" train mine.toml --set data.train.annotations=broken.json --output runs/x
expect_exit 4 "expected a folder of masks" "$tessera" data convert --from davis --input none --images mine/JPEGImages --output x.json
expect_exit 2 "davis, labelme, mots" "$tessera" data convert --from voc --input none --images none --output x.json
expect_exit 2 "--overwrite" "$tessera" data split mine/annotations.json --output mine --part train=1 --part valid=1
for command in check convert split stats view synth; do
  "$tessera" data "$command" --help | grep -q '^  tessera data' || fail "no example in data $command --help"
done
