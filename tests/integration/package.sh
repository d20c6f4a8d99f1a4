#!/usr/bin/env bash
# What is installed and what is packed: whole, movable, and nobody else's libraries inside.
source "$(dirname "$0")/lib.sh"
unset TESSERA_PLUGIN_PATH
# Nothing of this shell's environment: LD_LIBRARY_PATH and the like could hide what is missing.
bare() { env -i PATH=/usr/bin:/bin "$@"; }
stamp_of() { # PROGRAM: the plugins' ABI that it takes
  bare "$1" doctor --json > "$work/doctor.json" || true  # a small machine is a problem, not a fault
  python3 -c 'import json, sys; print(*(e["found"] for e in json.load(open(sys.argv[1])) if e["name"] == "plugin ABI"))' "$work/doctor.json"
}

# check_tree PREFIX: it works from there, and holds own files only.
check_tree() {
  local prefix=$1 foreign broken stamp library
  foreign=$(find "$prefix" -type f -o -type l | grep -iE '/lib(torch|c10|caffe|cu|nv|nccl|gomp|mkl|magma|opencv|mpi|tbb)[^/]*\.(so|a)|nvidia|site-packages' || true)
  [ -z "$foreign" ] || { echo "$foreign"; fail "files of LibTorch, NVIDIA or others in $prefix"; }
  # Names lie; what a library exports does not.
  find "$prefix" -name '*.so' -o -path '*/bin/*' -type f -o -path '*/libexec/*' -type f | while read -r file; do
    if nm -D --defined-only "$file" 2> /dev/null | grep -E ' (cudaMalloc|ncclAllReduce|_ZN2at10empty_like)$' > /dev/null; then
      fail "$file defines symbols of CUDA, NCCL or ATen"
    fi
  done || exit 1  # of the loop's own shell
  for file in bin/tessera libexec/tessera-main lib/libtessera_core.so lib/libtessera_codecs.so lib/cmake/Tessera/TesseraConfig.cmake \
    include/tessera/core/interfaces/attention.h share/tessera/experiments/vistr_r50.toml share/tessera/LICENSE; do
    [ -e "$prefix/$file" ] || fail "no $file in $prefix"
  done
  broken=$(bare ldd "$prefix/libexec/tessera-main" "$prefix/lib/libtessera_codecs.so" "$prefix"/lib/tessera/plugins/*.so | grep 'not found' || true)
  [ -z "$broken" ] || { echo "$broken"; fail "libraries are not found from $prefix"; }
  bare ldd "$prefix/libexec/tessera-main" | grep "libtessera_core.so => $prefix/" > /dev/null || fail "another core than the installed one is loaded"
  bare "$prefix/bin/tessera" doctor > "$work/doctor" || true  # a small machine is a problem, not a fault
  grep -q 'video files by' "$work/doctor" || fail "libtessera_codecs.so is not found from $prefix"
  bare "$prefix/bin/tessera" plugins list | grep '^attention *dense ' > /dev/null || fail "no plugins in $prefix"
  [ "$(bare "$prefix/bin/tessera" plugins list | wc -l)" = "$("$tessera" plugins list | wc -l)" ] || fail "other plugins than built"
  bare "$prefix/bin/tessera" config check "$prefix/share/tessera/experiments/vistr_r50.toml" > /dev/null || fail "a shipped experiment is refused"
  # One ABI in the program, in every plugin and in the headers that plugins are built with; another is refused.
  stamp=$(stamp_of "$prefix/bin/tessera")
  [[ $stamp == "tessera-abi "*headers\ *torch\ * ]] || fail "no ABI stamp: '$stamp'"
  [ "$stamp" = "$(stamp_of "$tessera")" ] || fail "another ABI than built: '$stamp'"
  grep -qF "$(sed -E 's/.*headers ([0-9a-f]+);.*/"\1"/' <<< "$stamp")" "$prefix/include/tessera/core/plugin/abi_hash.h" \
    || fail "the headers of $prefix are of another ABI than '$stamp'"
  for library in "$prefix"/lib/tessera/plugins/*.so; do
    grep -aqF "$stamp" "$library" || fail "$library is of another ABI than '$stamp'"
  done
  sed 's/tessera-abi 1; headers ..../tessera-abi 1; headers zzzz/' "$prefix/lib/tessera/plugins/libtessera_attention_dense.so" \
    > "$work/libtessera_attention_dense.so"
  expect_exit 3 "expected the ABI '$stamp'" bare "$prefix/bin/tessera" plugins check "$work/libtessera_attention_dense.so"
}

cmake --install "$build" --prefix "$work/first" > /dev/null
mv "$work/first" "$work/moved"  # own files find each other wherever they lie
check_tree "$work/moved"

(cd "$work" && cpack --config "$build/CPackConfig.cmake" -G TGZ -B "$work/packed" > "$work/log" 2>&1) || { cat "$work/log"; fail "cpack"; }
archive=$(find "$work/packed" -maxdepth 1 -name 'Tessera-*.tar.gz')
[ -n "$archive" ] || fail "no archive"
mkdir "$work/unpacked"
tar -xzf "$archive" -C "$work/unpacked" --strip-components=1
check_tree "$work/unpacked"
diff <(cd "$work/moved" && find . -type f | sort) <(cd "$work/unpacked" && find . -type f | sort) || fail "the archive holds other files than an installation"
# Faults that the first two rules see.
refused() { # WORDS: that check_tree complains with
  (check_tree "$work/moved") > "$work/log" 2>&1 && fail "expected '$1', got no complaint"
  grep -F -- "$1" "$work/log" > /dev/null || { cat "$work/log"; fail "expected '$1'"; }
}
touch "$work/moved/lib/libtorch_cpu.so"
refused "files of LibTorch, NVIDIA or others"
rm "$work/moved/lib/libtorch_cpu.so"
if command -v c++ > /dev/null; then
  echo 'extern "C" int cudaMalloc() { return 0; }' | c++ -x c++ -shared -fPIC -o "$work/moved/lib/libown.so" -
  refused "defines symbols of CUDA, NCCL or ATen"
fi
