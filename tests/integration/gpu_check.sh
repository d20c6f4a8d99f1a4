#!/usr/bin/env bash
# scripts/gpu-check where there is no GPU: its own logic, in front of programs that only pretend.
source "$(dirname "$0")/lib.sh"
repo=$work/repo fakes=$work/fakes
mkdir -p "$repo/scripts" "$fakes" "$work/torch/lib" "$work/torch/include/torch/headeronly"
cp "$root/scripts/gpu-check" "$root/scripts/lib.sh" "$repo/scripts"
touch "$work/torch/lib/libtorch_cuda.so"
fake() { # NAME: a program of the text on stdin
  { echo '#!/usr/bin/env bash'; cat; } > "$fakes/$1"
  chmod +x "$fakes/$1"
}
fake nvidia-smi <<'SH'
case $1 in *name*) echo "Pretended GPU" ;; *driver*) echo 580.1 ;; *) echo 9.0 ;; esac
SH
fake nvcc <<'SH'
[ "$1" != --version ] || { echo "release 13.0, V13.0.48"; exit; }
while [ "$1" != -o ]; do shift; done
cp "$(dirname "$0")/probe" "$2"
SH
fake probe < /dev/null
fake cmake <<'SH'
[ "$1" = --build ] || exit 0
mkdir -p "$2/bin"
cp "$(dirname "$0")/test_gpu" "$(dirname "$0")/bench_ops" "$2/bin"
SH
fake test_gpu <<'SH'
for name in GpuOps.One GpuOps.Two; do echo "[ RUN      ] $name"; sleep "${PAUSE:-0}"; echo "[       OK ] $name (1 ms)"; done
SH
fake bench_ops <<'SH'
echo '{"what": "ops"}' > "$2"
SH
fake ctest <<'SH'
while [ "$1" != --output-junit ]; do shift; done
echo '<testsuite><testcase name="GpuOps.One" status="run" time="0.1"/></testsuite>' > "$2"
SH
# SANITIZER: what this one does. It is told --tool T ... --error-exitcode N PROGRAM ARGUMENTS.
cat > "$work/compute-sanitizer" <<'SH'
#!/usr/bin/env bash
[ "$1" != --version ] || { echo "Copyright (c) 2020-2025"; echo "Version 2025.3.1.0"; exit; }
tool=$2
echo "$*" >> "$CALLS"
[ "$PYTORCH_NO_CUDA_MEMORY_CACHING" = 1 ] || exit 5
while [ "$1" != --error-exitcode ]; do shift; done
code=$2
shift 2
case $SANITIZER in
  refuses) echo "========= Error: Device not supported. Please refer to the documentation"; exit 1 ;;
  blind) "$@"; exit ;;
  finds) case $* in *test_gpu*) "$@"; echo "========= ERROR SUMMARY: 3 errors"; exit "$code" ;; esac ;;
esac
case $* in *probe\ "$tool") echo "========= ERROR SUMMARY: 1 error"; exit "$code" ;; esac
"$@"
echo "========= ERROR SUMMARY: 0 errors"
SH
chmod +x "$work/compute-sanitizer"
export CALLS=$work/calls OUT=$work/records TORCH_ROOT=$work/torch CUDACXX=$fakes/nvcc
check() { # CODE ARGUMENTS...: runs it afresh
  local code=$1 status=0
  shift
  rm -rf "$OUT" "$CALLS"
  touch "$CALLS"
  PATH=$fakes:$PATH "$repo/scripts/gpu-check" "$@" > "$work/out" 2> "$work/err" || status=$?
  [ "$status" = "$code" ] || { cat "$work/out" "$work/err"; fail "expected exit $code of gpu-check $*, got $status"; }
}
record() { # PYTHON: holds of the record r of the sanitizer
  python3 -c "
import glob, json
(name,) = glob.glob('$OUT/sanitizer_gpu_*.json')
r = json.load(open(name))
assert r['what'] == 'sanitizer' and r['device'] == 'Pretended GPU' and r['nvcc'] == '13.0', r
assert $1, r"
}

check 0 --part sanitizer  # there is none
grep -q '^== compute-sanitizer left out: no compute-sanitizer' "$work/out" || { cat "$work/out"; fail "left out without a word"; }
record "r['sanitizer'].startswith('left out: no compute-sanitizer') and r['tools'] == [] and r['good']"
mv "$work/compute-sanitizer" "$fakes"
SANITIZER=refuses check 0 --part sanitizer
grep -q 'left out: memcheck does not work on this machine (exit code 1): .*Device not supported' "$work/out" || { cat "$work/out"; fail "a refusal"; }
record "'Device not supported' in r['sanitizer'] and r['tools'] == []"
grep -q test_gpu "$CALLS" && fail "tests were run under a sanitizer that does not work"
SANITIZER=blind check 0 --part sanitizer
record "r['sanitizer'] == 'left out: memcheck does not find a planted fault on this machine (exit code 0)'"
SANITIZER=works check 0 --part sanitizer
record "r['sanitizer'] == 'compute-sanitizer 2025.3.1.0' and [t['tool'] for t in r['tools']] == ['memcheck', 'racecheck']"
record "all(t['result'] == 'passed' and t['passed'] == ['GpuOps.One', 'GpuOps.Two'] and t['summary'] == 'ERROR SUMMARY: 0 errors' for t in r['tools'])"
[ "$(grep -c 'kernel-name kns=tessera.*test_gpu' "$CALLS")" = 2 ] || { cat "$CALLS"; fail "expected the tests under two tools"; }
[ ! -e "$OUT/ops_gpu_$(date -u +%F).json" ] || fail "the sanitizer's part alone has no bench"
SANITIZER=finds check 1 --part sanitizer
record "not r['good'] and r['tools'][0]['result'] == 'failed' and r['tools'][0]['summary'] == 'ERROR SUMMARY: 3 errors'"
PAUSE=2 SANITIZER_SECONDS=3 SANITIZER=works check 0 --part sanitizer
record "all(t['result'] == 'out of time' and t['passed'] == ['GpuOps.One'] and t['not_passed'] == ['GpuOps.Two'] for t in r['tools'])"
PAUSE=5 SANITIZER_SECONDS=1 SANITIZER=works check 1 --part sanitizer  # nothing passed: that is no result
record "not r['good']"
SANITIZER=works check 0  # all, in its order
[ "$(grep -oE '(tests|sanitizer|ops)_gpu' "$work/out" | uniq | paste -sd ' ')" = "tests_gpu sanitizer_gpu ops_gpu" ] \
  || { cat "$work/out"; fail "expected tests, sanitizer, bench"; }
SANITIZER=finds check 1
ls "$OUT"/ops_gpu_* > /dev/null 2>&1 && fail "the bench was run after a fault was found"
check 2 --part nonsense
grep -q "expected build, tests, sanitizer or bench, got 'nonsense'" "$work/err" || fail "an unknown part"

# The pack for a machine without our packages: what it needs, and small.
"$root/scripts/gpu-check" --pack "$work/pack" > "$work/out" || { cat "$work/out"; fail "--pack"; }
for file in include/toml++/toml.h include/nlohmann/json.hpp include/gtest/gtest.h include/boost/dll.hpp share/cmake/nlohmann_json; do
  [ -e "$work/pack/$file" ] || fail "no $file in the pack"
done
[ "$(du -sm "$work/pack" | cut -f1)" -lt 64 ] || fail "the pack has $(du -sm "$work/pack" | cut -f1) MB"
