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
expect_exit 2 'e.toml:3:1: model.encoder.num_layers: expected an integer, got a string ("six")' "$tessera" config check "$work/e.toml"
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
expect_exit 4 "empty" "${infer[@]}" "$work/empty" --categories "$annotations"
expect_exit 4 "none.safetensors" "$tessera" infer "$base" --weights "$work/none.safetensors" --input "$annotations" \
  --images "$images" --output "$work/r.json"
expect_exit 2 "--weights" "$tessera" infer "$base" --input "$annotations" --images "$images" --output "$work/r.json"
expect_exit 5 "/proc/none" "$tessera" infer "$base" --allow-random-weights --images "$images" --input "$annotations" --output /proc/none/results.json
[ ! -e "$work/r.json" ] || fail "a failed command left results behind"
# An image of another size than the annotations say.
cp -r "$images" "$work/other"
cp "$root/tests/integration/one_pixel.jpg" "$work/other/0001/00002.jpg"
expect_exit 4 "00002.jpg: video 1 ('0001'), frame 2: expected 96x64 pixels as the annotations say, got 1x1" \
  "$tessera" train "$base" --set train.iterations=20 --set "data.train.images=$work/other" \
  --set "data.train.annotations=$annotations" --output "$work/run_other"
expect_exit 4 "00002.jpg" "$tessera" infer "$base" --allow-random-weights --images "$work/other" --input "$annotations" \
  --output "$work/r.json"

# A loss that is no number: the checkpoint before it stays and can be used.
expect_exit 5 "Batch: " "$tessera" train "$base" --set train.iterations=20 $(data_settings set) \
  --set train.optimiser.lr=1e30 --set train.clip_gradients=0.0 --set train.checkpoint_every=1 --output "$work/nan"
kept=$(grep -oE "$work/nan/checkpoint-[0-9]+.safetensors" "$work/err" | head -1)
[ -s "$kept" ] || { cat "$work/err"; fail "the error names no checkpoint that is there"; }
expect_exit 5 "Batch: " "$tessera" train "$base" --set train.iterations=20 $(data_settings set) \
  --set train.optimiser.lr=1e30 --set train.clip_gradients=0.0 --set train.checkpoint_every=1 --output "$work/nan" \
  --resume "$kept"

# No room left: files of at most 16 KiB stand in for a full disk.
no_room() { (trap '' XFSZ; ulimit -f 16; exec "$@"); }
expect_exit 5 "r.json" no_room "$tessera" infer "$base" --allow-random-weights --images "$images" --input "$annotations" \
  --output "$work/full/r.json"
mkdir "$work/full"
expect_exit 5 "last.safetensors" no_room "$tessera" train "$base" --set train.iterations=2 $(data_settings set) \
  --output "$work/full/run"
[ -z "$(find "$work/full" -name '*safetensors*')" ] || fail "half a checkpoint was left: $(find "$work/full")"
[ ! -e "$work/r.json" ] || fail "a failed command left results behind"
