#!/usr/bin/env bash
# What a user does wrong gets an exit code, a place and a next step.
source "$(dirname "$0")/lib.sh"
make_data set 1
base=$root/experiments/smoke/vistr.toml
write() { printf 'extends = "%s"\n%s\n' "$base" "$1" > "$work/e.toml"; }

write $'[model.encoder]\nnum_layer = 1'
expect_exit 2 "e.toml:3:1: model.encoder.num_layer: expected a known key, got 'num_layer'. Did you mean 'num_layers'?" \
  "$tessera" config check "$work/e.toml"
write $'[model.encoder]\nnum_layers = "six"'
expect_exit 2 'e.toml:3:1: model.encoder.num_layers: expected a integer, got a string ("six")' "$tessera" config check "$work/e.toml"
write $'[model.backbone]\ndepth = 42'
expect_exit 2 "model.backbone.depth: expected one of 18, 34, 50, 101, got 42" "$tessera" config check "$work/e.toml"
write $'[model.encoder]\nattention = "dens"'
expect_exit 3 "Did you mean 'dense'?" "$tessera" config check "$work/e.toml"
write 'x = = 1'
expect_exit 2 "e.toml:2:5: expected valid TOML" "$tessera" config check "$work/e.toml"
expect_exit 2 "expected an experiment file" "$tessera" config check "$work/none.toml"
expect_exit 2 "train.epochs" "$tessera" config check "$base" --set train.epochs=1

annotations=$work/set/annotations.json
images=$(image_folder "$work/set")
infer=("$tessera" infer "$base" --allow-random-weights --images "$images" --output "$work/r.json" --input)
head -c 500 "$annotations" > "$work/broken.json"
expect_exit 4 "broken.json" "${infer[@]}" "$work/broken.json"
train=("$tessera" train "$base" --set train.iterations=1 --set "data.train.images=$images" --output "$work/run")
sed -E '0,/"counts": ?"[^"]*"/s//"counts":"11"/' "$annotations" > "$work/rle.json"
expect_exit 4 "rle.json" "${train[@]}" --set "data.train.annotations=$work/rle.json"
cp -r "$images" "$work/less"
rm "$(find "$work/less" -name '*.jpg' | sort | head -1)"
expect_exit 4 "00000.jpg" "$tessera" train "$base" --set train.iterations=1 --set "data.train.images=$work/less" \
  --set "data.train.annotations=$annotations" --output "$work/run"
mkdir "$work/empty"
expect_exit 4 "empty" "${infer[@]}" "$work/empty"
expect_exit 4 "none.safetensors" "$tessera" infer "$base" --weights "$work/none.safetensors" --input "$annotations" \
  --images "$images" --output "$work/r.json"
expect_exit 2 "--weights" "$tessera" infer "$base" --input "$annotations" --images "$images" --output "$work/r.json"
expect_exit 5 "/proc/none" "$tessera" infer "$base" --allow-random-weights --images "$images" --input "$annotations" --output /proc/none/results.json
[ ! -e "$work/r.json" ] || fail "a failed command left results behind"
expect_exit 5 "Batch: " "$tessera" train "$base" --set train.iterations=20 $(data_settings set) \
  --set train.optimiser.lr=1e30 --set train.clip_gradients=0.0 --output "$work/nan"
