#!/usr/bin/env bash
# What is installed and what is packed: whole, movable, and nobody else's libraries inside.
source "$(dirname "$0")/lib.sh"

# check_tree PREFIX: it works from there, and holds own files only.
check_tree() {
  local prefix=$1 foreign broken
  foreign=$(find "$prefix" -type f -o -type l | grep -iE '/lib(torch|c10|caffe|cu|nv|nccl|gomp|mkl|magma|opencv|mpi|tbb)[^/]*\.(so|a)|nvidia|site-packages' || true)
  [ -z "$foreign" ] || { echo "$foreign"; fail "files of LibTorch, NVIDIA or others in $prefix"; }
  # Names lie; what a library exports does not.
  find "$prefix" -name '*.so' -o -path '*/bin/*' -type f -o -path '*/libexec/*' -type f | while read -r file; do
    if nm -D --defined-only "$file" 2> /dev/null | grep -qE ' (cudaMalloc|ncclAllReduce|_ZN2at10empty_like)$'; then
      fail "$file defines symbols of CUDA, NCCL or ATen"
    fi
  done
  for file in bin/tessera libexec/tessera-main lib/libtessera_core.so lib/libtessera_codecs.so lib/cmake/Tessera/TesseraConfig.cmake \
    include/tessera/core/interfaces/attention.h share/tessera/experiments/vistr_r50.toml share/tessera/LICENSE; do
    [ -e "$prefix/$file" ] || fail "no $file in $prefix"
  done
  broken=$(ldd "$prefix/libexec/tessera-main" "$prefix/lib/libtessera_codecs.so" "$prefix"/lib/tessera/plugins/*.so | grep 'not found' || true)
  [ -z "$broken" ] || { echo "$broken"; fail "libraries are not found from $prefix"; }
  ldd "$prefix/libexec/tessera-main" | grep -q "libtessera_core.so => $prefix/" || fail "another core than the installed one is loaded"
  "$prefix/bin/tessera" doctor | grep -q 'video files by' || fail "libtessera_codecs.so is not found from $prefix"
  "$prefix/bin/tessera" plugins list | grep -q '^attention *dense ' || fail "no plugins in $prefix"
  [ "$("$prefix/bin/tessera" plugins list | wc -l)" = "$("$tessera" plugins list | wc -l)" ] || fail "other plugins than built"
  "$prefix/bin/tessera" config check "$prefix/share/tessera/experiments/vistr_r50.toml" > /dev/null || fail "a shipped experiment is refused"
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
# A fault that the first rule sees.
touch "$work/moved/lib/libtorch_cpu.so"
(check_tree "$work/moved") > /dev/null 2>&1 && fail "a LibTorch library in the prefix was not seen"
exit 0
