#!/usr/bin/env bash
# Official weight files: looked into, converted, loaded by commands; hostile ones are refused by name.
source "$(dirname "$0")/lib.sh"
fixtures=$root/tests/pickle/fixtures

for file in "$fixtures"/hostile_*; do
  expect_exit 4 "$file" "$tessera" weights convert "$file" "$work/hostile.safetensors"
done
[ ! -e "$work/hostile.safetensors" ] || fail "a refused file left weights behind"
expect_exit 4 "'posix.system'" "$tessera" weights inspect "$fixtures/hostile_global.pth"
expect_exit 4 "none.pth" "$tessera" weights inspect "$work/none.pth"
expect_exit 4 "weights.key" "$tessera" weights convert "$fixtures/two_tables.pth" "$work/a.safetensors"
expect_exit 2 "*.safetensors" "$tessera" weights convert "$fixtures/two_tables.pth" "$work/a.pth" --key model
expect_exit 2 "[weights]" "$tessera" weights convert "$fixtures/arrays_2.pkl" "$work/a.safetensors" \
  --rename "$root/experiments/base/small.toml"

# Classes of any library stand beside the tensors; nested tables have paths.
"$tessera" weights inspect "$fixtures/nested.pth" --key state.ema > "$work/text"
for text in 'state.ema: 2 tensors' 'omegaconf.dictconfig.DictConfig' 'datetime.datetime' 'collections.deque' \
  'types.SimpleNamespace: lr' 'easydict.EasyDict: lr' 'mmengine.config.config.ConfigDict: lr' \
  'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint'; do
  grep -qF "$text" "$work/text" || fail "'$text' is not listed: $(cat "$work/text")"
done
"$tessera" weights convert "$fixtures/nested.pth" "$work/nested.safetensors" --key state.ema > /dev/null
expect_exit 4 "sparse: a tensor of" "$tessera" weights convert "$fixtures/unsupported.pth" "$work/u.safetensors"
printf '[weights]\nignore = ["complex", "sparse", "float8", "array"]\n' > "$work/ignore.toml"
"$tessera" weights convert "$fixtures/unsupported.pth" "$work/u.safetensors" --rename "$work/ignore.toml" > /dev/null
"$tessera" weights inspect "$fixtures/unsupported.pth" > "$work/text"
grep -qF 'float8: a tensor of' "$work/text" || fail "a tensor that no model takes is not listed"
# What is downloaded in place of weights.
if [ -d "$shared/trials" ]; then
  expect_exit 4 "an HTML page" "$tessera" weights inspect "$shared/trials/w_html/w.pth"
  expect_exit 4 "a Git LFS pointer" "$tessera" weights inspect "$shared/trials/w_lfs/w.pth"
  expect_exit 4 "a gzip file" "$tessera" weights inspect "$shared/trials/w_gz/w.pth.gz"
  gzip -dc "$shared/trials/w_gz/w.pth.gz" > "$work/w.pth"
  tar -cf "$work/w.tar" -C "$work" w.pth
  expect_exit 4 "a tar archive" "$tessera" weights inspect "$work/w.tar"
fi

"$tessera" weights inspect "$fixtures/checkpoint_legacy.pth" > "$work/text"
grep -qF 'argparse.Namespace: lr, masks' "$work/text" || fail "args are not listed: $(cat "$work/text")"
cat > "$work/rules.toml" <<'TOML'
[weights]
ignore = ['num_batches_tracked$']
[[weights.rename]]
from = '^(\d)\.'
to = "layers.$1."
TOML
"$tessera" weights convert "$fixtures/checkpoint.pth" "$work/new.safetensors" --rename "$work/rules.toml" > "$work/text"
grep -qF '6 of 7 tensors' "$work/text" || fail "wrong count: $(cat "$work/text")"
grep -qF 'optimizer' "$work/text" || fail "what was left out is not listed: $(cat "$work/text")"
"$tessera" weights inspect "$work/new.safetensors" --json > "$work/new.json"
"$tessera" weights inspect "$fixtures/checkpoint.pth" --json > "$work/old.json"
python3 - "$work/old.json" "$work/new.json" <<'PY'
import json, sys
old, new = (json.load(open(name)) for name in sys.argv[1:])
assert old["format"] == "PyTorch (zip)" and new["format"] == "safetensors"
assert [t["key"] for t in old["tables"]] == ["model"]
assert {o["name"] for o in old["others"]} == {"optimizer", "lr_scheduler", "epoch", "args", "best", "large"}
lists = [{t["name"]: (t["dtype"], t["shape"]) for t in f["tables"][0]["tensors"]} for f in (old, new)]
assert {"layers." + k: v for k, v in lists[0].items() if "num_batches" not in k} == lists[1], lists
PY

# The same results from the same weights, pickled as detectron2's model zoo has them, by renaming.
make_data set 1
experiment=$root/experiments/smoke/deformable_vistr.toml
python=${TESSERA_PYTHON:-$root/.venv/bin/python}
[ -x "$python" ] || python=python3
"$tessera" train "$experiment" $(data_settings set) --set train.iterations=1 --output "$work/run" > /dev/null
"$python" "$root/tests/integration/to_pickle.py" "$work/run/last.safetensors" "$work/zoo.pkl"
infer() {
  "$tessera" infer "$work/e.toml" --input "$work/set/annotations.json" --images "$(image_folder "$work/set")" \
    --weights "$1" --output "$2"
}
printf 'extends = "%s"\n[weights]\nignore = ["^criterion\\\\."]\n[[weights.rename]]\nfrom = "^model\\\\."\nto = ""\n' \
  "$experiment" > "$work/e.toml"
infer "$work/run/last.safetensors" "$work/a.json" > /dev/null
infer "$work/zoo.pkl" "$work/b.json" > "$work/text"
grep -qF 'criterion.empty_weight' "$work/text" || fail "the dropped tensor is not reported: $(cat "$work/text")"
cmp "$work/a.json" "$work/b.json" || fail "pickled weights gave other results"
# And training begins with them.
"$tessera" train "$work/e.toml" --weights "$work/zoo.pkl" $(data_settings set) --set train.iterations=1 \
  --output "$work/run2" > "$work/text"
grep -qF "zoo.pkl: loaded" "$work/text" || fail "training took no weights: $(cat "$work/text")"
expect_exit 4 "--set weights.prefix=model. to the command" "$tessera" train "$experiment" --weights "$work/zoo.pkl" \
  $(data_settings set) --set train.iterations=1 --output "$work/run3"

# A prefix that explains all differences is one line, and what it proposes gives the same results.
printf '[weights]\n[[weights.rename]]\nfrom = "^"\nto = "module."\n' > "$work/wrap.toml"
"$tessera" weights convert "$work/run/last.safetensors" "$work/wrapped.safetensors" --rename "$work/wrap.toml" > /dev/null
expect_exit 4 "weights.prefix=module." infer "$work/wrapped.safetensors" "$work/c.json"
[ "$(wc -l < "$work/err")" = 1 ] || fail "more than one line: $(cat "$work/err")"
"$tessera" infer "$experiment" --input "$work/set/annotations.json" --images "$(image_folder "$work/set")" \
  --weights "$work/wrapped.safetensors" --set weights.prefix=module. --output "$work/c.json" > /dev/null
cmp "$work/a.json" "$work/c.json" || fail "wrapped weights gave other results"
# A checkpoint of training is taken for its model.
infer "$work/run/checkpoint-1.safetensors" "$work/d.json" > /dev/null
cmp "$work/a.json" "$work/d.json" || fail "a checkpoint gave other results than its weights"

# Categories travel with the weights: any folder, and the input's ids for the same names.
ids() { python3 -c 'import json, sys; print(*sorted({t["category_id"] for t in json.load(open(sys.argv[1]))}))' "$1"; }
frames=$(find "$(image_folder "$work/set")" -mindepth 1 -maxdepth 1 -type d | sort | head -1)
python3 - "$work/set/annotations.json" "$work/set/OTHER.JSON" <<'PY'
import json, sys
content = json.load(open(sys.argv[1]))
for category in content["categories"]:
    category["id"] += 10
for annotation in content["annotations"]:
    annotation["category_id"] += 10
json.dump(content, open(sys.argv[2], "w"))
PY
cp "$work/set/OTHER.JSON" "$work/set/other.json"
for input in "$frames" "$work/set/annotations.json" "$work/set/OTHER.JSON" "$work/set/other.json"; do
  (cd / && "$tessera" infer "$experiment" --input "$input" --weights "$work/run/last.safetensors" \
    $([ -d "$input" ] || echo --images "$(image_folder "$work/set")") --output "$work/ids.json" > /dev/null)
  ids "$work/ids.json"
done > "$work/ids"
python3 - "$work/ids" <<'PY'
import sys
folder, own, upper, lower = (set(line.split()) for line in open(sys.argv[1]))
assert folder and folder <= set("12345") and own <= set("12345"), (folder, own)
assert upper == lower and upper and upper <= {"11", "12", "13", "14", "15"}, (upper, lower)
PY
"$tessera" weights convert "$work/run/last.safetensors" "$work/kept.safetensors" > /dev/null
"$tessera" infer "$experiment" --input "$frames" --weights "$work/kept.safetensors" --output "$work/ids.json" > /dev/null
"$tessera" infer "$experiment" --input "$frames" --weights "$work/run/checkpoint-1.safetensors" --output "$work/ids.json" > /dev/null
# A file without them, and no annotations: refused, not made up.
expect_exit 2 "--categories FILE" "$tessera" infer "$work/e.toml" --input "$frames" --weights "$work/zoo.pkl" \
  --output "$work/none.json"
"$tessera" infer "$work/e.toml" --input "$frames" --weights "$work/zoo.pkl" --categories "$work/set/OTHER.JSON" \
  --output "$work/ids.json" > /dev/null
ids "$work/ids.json" | grep -q '^1[1-5]' || fail "--categories gave the ids $(ids "$work/ids.json")"

# A published recipe without its weights, and frozen parts that would stay random.
expect_exit 2 "tessera train $root/experiments/vistr_r50.toml --weights r50_pretrained.pth" \
  "$tessera" train "$root/experiments/vistr_r50.toml" --output "$work/run4"
expect_exit 2 "--from-scratch" "$tessera" train "$experiment" $(data_settings set) --set train.iterations=1 \
  --set model.backbone.frozen_stages=2 --output "$work/run5"
"$tessera" train "$experiment" $(data_settings set) --set train.iterations=1 --set model.backbone.frozen_stages=2 \
  --from-scratch --output "$work/run6" > /dev/null
# One part starts afresh by one list, whatever the file has there.
"$tessera" train "$experiment" $(data_settings set) --set train.iterations=1 --weights "$work/run/last.safetensors" \
  --set 'weights.reset=["encoder.*self_attn"]' --set model.encoder.attention.num_points=2 --output "$work/run7" > "$work/text"
grep -q 'freshly initialised on purpose: .*encoder.*self_attn' "$work/text" || fail "no part was reset: $(cat "$work/text")"
