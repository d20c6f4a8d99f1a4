#!/usr/bin/env bash
# Two machines, as network namespaces with names of their own: the ranks find one another, average
# gradients, and end when the cable between them is pulled.
source "$(dirname "$0")/lib.sh"
near=near$$ far=far$$
skip() {
  echo "skipped: this machine permits no network namespaces ($*)"
  exit 77
}
command -v ip > /dev/null || skip "no ip"
ip netns add "$near" 2> /dev/null || skip "ip netns add"
cleanup() {
  ip netns pids "$far" 2> /dev/null | xargs -r kill -9 2> /dev/null || true
  ip netns pids "$near" 2> /dev/null | xargs -r kill -9 2> /dev/null || true
  ip netns del "$near" 2> /dev/null || true
  ip netns del "$far" 2> /dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
ip netns add "$far" 2> /dev/null || skip "ip netns add"
ip link add "v$near" netns "$near" type veth peer name "v$far" netns "$far" 2> /dev/null || skip "veth"
ip -n "$near" addr add 10.77.0.1/24 dev "v$near"
ip -n "$far" addr add 10.77.0.2/24 dev "v$far"
for place in "$near" "$far"; do
  ip -n "$place" link set lo up
  ip -n "$place" link set "v$place" up
done
printf '127.0.0.1 localhost\n10.77.0.1 %s\n10.77.0.2 %s\n' "$near" "$far" > "$work/hosts"
# What ssh would do: the command on the other machine.
cat > "$work/on" <<EOF
#!/usr/bin/env bash
place=\$1
shift
[ "\$place" != -x ] || { place=\$1; shift; } # mpirun's option to ssh
exec ip netns exec "\$place" unshare --uts --mount bash -c 'hostname "\$1"; mount --bind $work/hosts /etc/hosts; shift; eval "\$@"' _ "\$place" "\$@"
EOF
chmod +x "$work/on"
"$work/on" "$far" hostname > "$work/out" 2> "$work/err" || skip "unshare --uts"
[ "$(cat "$work/out")" = "$far" ] || skip "no host name of its own"
two() { # COMMAND...
  "$work/on" "$near" timeout 300 mpirun --host "$near:2,$far:2" -np 4 --bind-to none --oversubscribe \
    --mca plm_rsh_agent "$work/on" --mca plm_rsh_no_tree_spawn 1 --mca btl tcp,self \
    --mca oob_tcp_if_include 10.77.0.0/24 --mca btl_tcp_if_include 10.77.0.0/24 -x OMP_NUM_THREADS \
    -x OMPI_ALLOW_RUN_AS_ROOT -x OMPI_ALLOW_RUN_AS_ROOT_CONFIRM "$@"
}
printf '#!/bin/sh\necho "a rank on $(hostname)"\n' > "$work/name"
chmod +x "$work/name"
two "$work/name" > "$work/names"
[ "$(grep -c "on $near" "$work/names")" = 2 ] && [ "$(grep -c "on $far" "$work/names")" = 2 ] ||
  { cat "$work/names"; fail "expected two ranks on each machine"; }
two "$worker" communicator
two "$worker" reducer
two "$worker" communicator # a second job: ports and names are free again
echo "two machines: collectives and averaged gradients"
folder=$work/cable
two "$worker" loop "$folder" none 9 > "$work/out" 2> "$work/err" &
job=$!
until ls "$folder"/checkpoint-[4-9]*.safetensors > /dev/null 2>&1; do
  kill -0 $job 2> /dev/null || { cat "$work/err"; fail "no checkpoint over two machines"; }
  sleep 0.1
done
ip -n "$near" link set "v$near" down
since=$(date +%s)
until [ -e "$folder/ranks/failure.txt" ]; do
  [ $(($(date +%s) - since)) -le 30 ] || { cat "$work/err"; fail "nobody noticed within 30 s"; }
  sleep 0.1
done
grep -q "^rank [0-3] on \($far\|$near\) (process .* was lost" "$folder/ranks/failure.txt" ||
  { cat "$folder/ranks/failure.txt"; fail "nobody was named"; }
# Both sides end by themselves, although neither can tell the other.
until [ "$(pgrep -f "^[^ ]*/dist_worker loop $folder" | wc -l)" = 0 ]; do
  [ $(($(date +%s) - since)) -le 60 ] || fail "ranks were left on one side: $(pgrep -af "dist_worker loop $folder")"
  sleep 0.1
done
echo "cable pulled: $(cat "$folder/ranks/failure.txt")"
