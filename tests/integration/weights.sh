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
expect_exit 4 "criterion.empty_weight" "$tessera" train "$experiment" --weights "$work/zoo.pkl" \
  $(data_settings set) --set train.iterations=1 --output "$work/run3"
