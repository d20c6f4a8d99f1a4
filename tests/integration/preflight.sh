#!/usr/bin/env bash
# `config check --deep` finds in one go what would fail later, and nothing else.
source "$(dirname "$0")/lib.sh"
make_data train 1
make_data valid 2
smoke=$root/experiments/smoke
good=($(data_settings train) --set "data.validation.annotations=$work/valid/annotations.json"
  --set "data.validation.images=$(image_folder "$work/valid")" --set train.evaluate_every=10)

# deep CODE ARGUMENT...: runs the check; its findings are in $work/findings.json.
deep() {
  local code=$1 status=0
  shift
  "$tessera" config check --deep --json "$@" > "$work/findings.json" 2> "$work/err" || status=$?
  [ "$status" = "$code" ] || { cat "$work/findings.json" "$work/err"; fail "expected exit $code, got $status: $*"; }
}
# expect_finding LEVEL CHECK TEXT
expect_finding() {
  python3 - "$work/findings.json" "$@" <<'PY'
import json, sys
level, check, text = sys.argv[2:]
findings = json.load(open(sys.argv[1]))[0]["findings"]
assert any(f["level"] == level and f["check"] == check and text in f["message"] for f in findings), \
    f"expected a {level} of '{check}' with '{text}' in:\n" + json.dumps(findings, indent=1)
PY
}

# Nothing is wrong with what is shipped.
for experiment in "$smoke"/*.toml; do
  [ "$(basename "$experiment")" != deformable_vistr_minivis.toml ] || continue
  deep 0 "$experiment" "${good[@]}"
  expect_finding ok "small step" "forward and backward"
  expect_finding ok windows "indow"
  expect_finding ok schedule " iterations."
  expect_finding ok categories "the same in training and validation"
done
"$tessera" config check --deep "$smoke/simvtr.toml" "${good[@]}" > "$work/table"
grep -q "^  ok  *batch  *1 clips a step" "$work/table" || { cat "$work/table"; fail "the table has no batch"; }
grep -q "^  0 problems" "$work/table" || fail "the table does not end with the number of problems"

# Many mistakes, all of them in one go; and each of them really ends a training.
cat > "$work/wrong.toml" <<TOML
extends = "$smoke/vistr.toml"
TOML
mistakes=(--set train.total_batch=3 --set weights.init=none.safetensors --set 'train.frozen=["no_such_part"]'
  --set 'train.groups=[{pattern="nothing", lr_factor=0.1}]' --set inference.window=7)
deep 2 "$work/wrong.toml" "${good[@]}" "${mistakes[@]}" --ranks 2 --set "data.train.images=$work/none" \
  --set "data.validation.images=$work/none"
expect_finding problem batch "2 ranks"
expect_finding problem "training data" "$work/none"
expect_finding problem validation "$work/none"
expect_finding problem weights "none.safetensors"
expect_finding problem optimiser "no_such_part"
expect_finding problem optimiser "'nothing'"
expect_finding problem windows "inference.window"
python3 - "$work/findings.json" <<'PY'
import json, sys
result = json.load(open(sys.argv[1]))[0]
assert result["problems"] == 7, json.dumps(result, indent=1)
PY
for ((i = 2; i < ${#mistakes[@]}; i += 2)); do
  status=0
  "$tessera" train "$work/wrong.toml" "${good[@]}" --set "${mistakes[i + 1]}" --set train.iterations=1 --output "$work/run$i" \
    > "$work/out" 2>&1 || status=$?
  [ "$status" != 0 ] || fail "a training went well with ${mistakes[i + 1]}"
  deep 2 "$work/wrong.toml" "${good[@]}" --set "${mistakes[i + 1]}"
done
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set 'train.frozen_parts=["encode"]'
expect_finding problem "frozen parts" "Did you mean 'encoder'"
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set 'train.frozen_parts=["encoder"]'
expect_finding problem weights "train.frozen_parts"
deep 0 "$smoke/simvtr.toml" "${good[@]}" --set 'train.frozen_parts=["encoder"]' --from-scratch
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set 'weights.files=[{path="first.pth"}, {path="second.pth", replace=true}]'
expect_finding problem weights "first.pth"
# Windows that the linker cannot join, of a model whose clip is the window: only longer videos would show it.
deep 2 "$smoke/vistr.toml" "${good[@]}" --set inference.overlap=0
expect_finding problem windows "inference.overlap: expected at least 1"
# Others that only their own check sees.
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set weights.starts_from=official.pth --set 'train.recompute=["nothing"]'
expect_finding problem weights "official.pth"
expect_finding problem recompute "'nothing'"
network='network={plugin="patch_discriminator"}'
deep 2 "$smoke/mssts.toml" "${good[@]}" --set "auxiliaries=[{name=\"d\", $network}, {name=\"d\", $network}]"
expect_finding problem auxiliaries "'d' twice"
if "$tessera" doctor | grep -q "CUDA *no device"; then
  deep 2 "$smoke/simvtr.toml" "${good[@]}" --set train.device=cuda
  expect_finding problem device "train.device"
fi
"$tessera" train "$smoke/simvtr.toml" "${good[@]}" --set train.iterations=1 --output "$work/run" > "$work/out"
deep 0 "$smoke/simvtr.toml" "${good[@]}" --set "weights.init=$work/run/last.safetensors" --set 'weights.ignore=["no_such_name"]'
expect_finding warning weights "no_such_name"
# Every set that cannot be read is named, not the first alone.
{ echo "extends = \"$smoke/simvtr.toml\""
  for name in one two; do printf '[[data.train.sets]]\nkind = "ytvis"\nannotations = "%s"\nimages = "%s"\n' "$work/$name.json" "$work"; done
} > "$work/sets.toml"
deep 2 "$work/sets.toml"
for name in one two; do expect_finding problem "training data" "$work/$name.json"; done
# A mistake in the file itself does not keep the other files from being checked.
status=0
"$tessera" config check --deep --json "$smoke/simvtr.toml" "$smoke/simvtr.toml" --set train.total_batch=none > "$work/findings.json" || status=$?
[ "$status" = 2 ] || fail "expected exit 2, got $status"
python3 -c 'import json, sys
both = json.load(open(sys.argv[1]))
assert [one["problems"] for one in both] == [1, 1], both' "$work/findings.json"

# Data sets that do not fit together.
variant() { # NAME PYTHON: the validation file changed by a program on `d`
  python3 - "$work/valid/annotations.json" "$work/$1.json" "$2" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
exec(sys.argv[3])
json.dump(d, open(sys.argv[2], "w"))
PY
}
variant swapped 'c = d["categories"]; c[0]["name"], c[1]["name"] = c[1]["name"], c[0]["name"]'
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.validation.annotations=$work/swapped.json"
expect_finding problem categories "class 0 is"
variant hidden 'd["annotations"] = None'
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.validation.annotations=$work/hidden.json"
expect_finding problem validation "hidden.json"
variant empty 'd["annotations"] = []'
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.validation.annotations=$work/empty.json"
expect_finding problem validation "empty.json"
variant fewer 'd["categories"].pop(); d["annotations"] = [a for a in d["annotations"] if a["category_id"] < 5]'
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.validation.annotations=$work/fewer.json"
expect_finding problem validation "data.num_categories"
"$tessera" data synth --output "$work/tall" --videos 3 --frames 5 --height 128 --width 96 > /dev/null
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.validation.images=$(image_folder "$work/tall")"
expect_finding problem validation "96x128 instead of 96x64"
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.train.images=$(image_folder "$work/tall")"
expect_finding problem "training data" "96x128 instead of 96x64"
# Frames whose headers are whole and whose pixels are not: of training behind the first, of validation the first.
for set in train valid; do
  cp -r "$(image_folder "$work/$set")" "$work/cut_$set"
  for video in "$work/cut_$set"/*; do
    for frame in "$video"/*; do
      case $set-$(basename "$frame") in train-00000.*) ;; *) truncate -s -40 "$frame" ;; esac
    done
  done
done
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.train.images=$work/cut_train" --set data.num_frames=2
expect_finding problem "training data" "cut off"
deep 2 "$smoke/simvtr.toml" "${good[@]}" --set "data.validation.images=$work/cut_valid"
expect_finding problem validation "0001/00000.jpg: expected a whole image"
# Without data.validation.images the frames beside the annotations are read, and the first shows it.
mkdir "$work/beside"
cp "$work/valid/annotations.json" "$work/beside"
mv "$work/cut_valid" "$work/beside/frames"
deep 2 "$smoke/simvtr.toml" $(data_settings train) --set "data.validation.annotations=$work/beside/annotations.json" \
  --set train.evaluate_every=10
expect_finding problem validation "0001/00000.jpg: expected a whole image"
# Categories without an object, and images' annotations without a mask.
python3 - "$work/train/annotations.json" "$work/rare.json" "$work/images.json" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
d["categories"][4]["name"] = "unicorn"
for a in d["annotations"]:
    a["category_id"] = d["categories"][0]["id"]
json.dump(d, open(sys.argv[2], "w"))
image = {"id": 1, "file_name": d["videos"][0]["file_names"][0], "width": 96, "height": 64}
drawn = {"id": 1, "image_id": 1, "category_id": d["categories"][0]["id"], "iscrowd": 0, "bbox": [8, 8, 30, 30],
         "area": 900, "segmentation": [[8, 8, 38, 8, 38, 38, 8, 38]]}
box = {key: value for key, value in dict(drawn, id=2).items() if key != "segmentation"}
json.dump({"images": [image], "annotations": [drawn, box], "categories": d["categories"]}, open(sys.argv[3], "w"))
PY
deep 0 "$smoke/simvtr.toml" $(data_settings train) --set "data.train.annotations=$work/rare.json"
expect_finding warning categories "'unicorn'"
cat > "$work/images.toml" <<TOML
extends = "$smoke/simvtr.toml"
[[data.train.sets]]
kind = "coco"
annotations = "$work/images.json"
images = "$(image_folder "$work/train")"
TOML
deep 0 "$work/images.toml"
expect_finding warning "training data" "1 of 2 annotations are boxes without a mask"
deep 0 "$smoke/simvtr.toml" $(data_settings train) --set data.num_frames=7 --set train.schedule.kind=multi_step \
  --set "train.schedule.drops=[500]"
expect_finding warning validation "No validation set"
expect_finding warning "clip length" "fewer than the 7 frames"
expect_finding warning schedule "500 iterations"

# A whole video as one window that memory cannot hold.
variant long 'd["videos"] = d["videos"][:1]; v = d["videos"][0]; n = 40000; d["annotations"] = [a for a in d["annotations"] if a["video_id"] == v["id"]]
v["file_names"] = v["file_names"][:1] * n; v["length"] = n
for a in d["annotations"]:
    for key in ("segmentations", "bboxes", "areas"): a[key] = a[key][:1] * n
    a["length"] = n'
whole=("$smoke/ifc.toml")
settings=("${good[@]}" --set data.workers=0)
deep 0 "${whole[@]}" "${settings[@]}" --set inference.window=all
expect_finding ok memory "as one window"
deep 2 "${whole[@]}" "${settings[@]}" --set inference.window=all --set inference.short_side=1080 --set inference.max_side=1920 \
  --set "data.validation.annotations=$work/long.json"
expect_finding problem memory "40000 frames of 64x96"
deep 0 "${whole[@]}" "${settings[@]}" --set inference.window=4 --set inference.overlap=1 --set inference.short_side=1080 --set inference.max_side=1920 \
  --set "data.validation.annotations=$work/long.json"
expect_exit 2 "--deep" "$tessera" config check --ranks 2 "$smoke/simvtr.toml"

# The estimate against what an inference takes.
"$tessera" data synth --output "$work/whole" --videos 1 --frames 48 --height 240 --width 426 --seed 3 > /dev/null
size=(--set inference.window=all --set inference.short_side=240 --set inference.max_side=426)
deep 0 "${whole[@]}" $(data_settings train) "${size[@]}" --set "data.validation.annotations=$work/whole/annotations.json" \
  --set "data.validation.images=$(image_folder "$work/whole")"
python3 - "$work/findings.json" "$tessera" infer "${whole[@]}" "${size[@]}" --input "$work/whole/annotations.json" \
  --images "$(image_folder "$work/whole")" --allow-random-weights --output "$work/whole.json" <<'PY'
import json, re, resource, subprocess, sys
text = next(f["message"] for f in json.load(open(sys.argv[1]))[0]["findings"] if f["check"] == "memory")
estimated = float(re.search(r"about ([\d.]+) GB", text).group(1)) * 1e9
before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
taken = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(f"memory of 48 frames of 240x426 as one window: {estimated / 1e9:.2f} GB estimated, {taken / 1e9:.2f} GB taken")
assert 0.6 < estimated / taken < 2, text
PY
