#!/usr/bin/env bash
# A real SLURM of one node for tests: munged, slurmctld and slurmd on the loopback interface.
#
#   one-node.sh start DIR    begin; everything lies in DIR; prints the line to evaluate
#   one-node.sh stop DIR     cancel its jobs and end its three daemons, by their process ids
#   one-node.sh status DIR   say what runs
#
# Needs root and Debian's slurmctld, slurmd, slurm-client and munge
# (apt-get install --no-install-recommends slurmctld slurmd slurm-client munge).
# CPUS and MEMORY_MB set what the node claims to have; the kernel is not asked. DIR has a short
# path in which others may enter (munge's rule for its socket).
set -euo pipefail

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
fail() { echo "one-node.sh: $*" >&2; exit 6; }

[ $# -eq 2 ] || usage
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
export SLURM_CONF="$dir/slurm.conf"
export PATH="$PATH:/usr/sbin:/sbin"
daemons="munged slurmctld slurmd"

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A pid file may outlive its process, and the number go to another: the command line decides.
ours() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$dir" || return 1
  echo "$pid"
}

await() { # SECONDS WHAT COMMAND...: until the command succeeds
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || {
      tail -qn 3 "$dir"/*.log "$dir"/*.out >&2 2>/dev/null || true
      fail "$what did not start in time"
    }
    sleep 0.2
  done
}

write_config() {
  local host cpus memory
  host=$(hostname -s)
  cpus=${CPUS:-$(nproc)}
  memory=${MEMORY_MB:-$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)}
  cat >"$SLURM_CONF" <<EOF
ClusterName=onenode
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=600
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
}

start() {
  [ "$(id -u)" -eq 0 ] || fail "needs root"
  local tool
  for tool in munged slurmctld slurmd sbatch squeue; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
  done
  ours slurmctld >/dev/null && fail "$dir already runs one; stop it first"
  chmod 755 "$dir"
  mkdir -p "$dir/state" "$dir/spool"
  (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
  setsid munged --foreground --num-threads=2 --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged-own.pid" --seed-file="$dir/munge.seed" \
    --log-file="$dir/munged.log" >"$dir/munged.out" 2>&1 &
  echo $! >"$dir/munged.pid"
  await 10 munged test -S "$dir/munge.socket"
  write_config
  setsid slurmctld -D -f "$SLURM_CONF" >"$dir/slurmctld.out" 2>&1 &
  echo $! >"$dir/slurmctld.pid"
  await 20 slurmctld sinfo
  setsid slurmd -D -f "$SLURM_CONF" >"$dir/slurmd.out" 2>&1 &
  echo $! >"$dir/slurmd.pid"
  await 30 slurmd sh -c 'sinfo --noheader --format=%T | grep -q idle'
  echo "export SLURM_CONF=$SLURM_CONF"
}

stop() {
  local pid name
  if ours slurmctld >/dev/null; then
    scancel --quiet --user=root 2>/dev/null || true
    for _ in $(seq 50); do
      [ -n "$(squeue --noheader 2>/dev/null)" ] || break
      sleep 0.2
    done
  fi
  for name in slurmd slurmctld munged; do
    pid=$(ours "$name") || continue
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do
      ours "$name" >/dev/null || break
      sleep 0.1
    done
    pid=$(ours "$name") && kill -KILL "$pid"
    rm -f "$dir/$name.pid"
  done
}

case $action in
  start) start ;;
  stop) stop ;;
  status)
    for name in $daemons; do echo "$name: $(ours "$name" || echo "not running")"; done
    ;;
  *) usage ;;
esac
