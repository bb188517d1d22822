#!/usr/bin/env bash
# Workers of one GPU node: one process per GPU, each seeing its own device alone.
#
#   workers.sh SCHEDULER_FILE [TLS_DIR]
#
# GPUS      how many devices (default: what nvidia-smi lists)
# CPUS      worker processes without a device beside them (default 0; needs --allow-mixed)
# MEMORY    limit of one worker (default: Dask's share of the node)
# INTERFACE network to listen on, such as ib0
#
# TLS_DIR holds ca.pem, cert.pem and key.pem (`distbragg cluster certificates`); without it the
# workers listen on the loopback interface. Ends all its workers when it is ended itself.
set -euo pipefail

[ $# -ge 1 ] && [ $# -le 2 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
gpus=${GPUS:-$(nvidia-smi --list-gpus 2>/dev/null | wc -l)}
cpus=${CPUS:-0}
if [ "$gpus" -eq 0 ] && [ "$cpus" -eq 0 ]; then
  echo "workers.sh: no GPU found; set GPUS or CPUS" >&2
  exit 6
fi

common=(
  --scheduler-file "$1" --nworkers 1 --nthreads 1 --death-timeout 120
  --dashboard-address 127.0.0.1:0 --preload distbragg.clusters.tuning
  --local-directory "${TMPDIR:-/tmp}"
)
if [ $# -eq 2 ]; then
  common+=(--protocol tls --tls-ca-file "$2/ca.pem" --tls-cert "$2/cert.pem" --tls-key "$2/key.pem")
  [ -z "${INTERFACE:-}" ] || common+=(--interface "$INTERFACE")
else
  common+=(--host 127.0.0.1)
fi
[ -z "${MEMORY:-}" ] || common+=(--memory-limit "$MEMORY")

workers=()
trap 'kill "${workers[@]}" 2>/dev/null; wait' EXIT
trap 'exit 143' TERM INT

for ((i = 0; i < gpus; i++)); do
  CUDA_VISIBLE_DEVICES=$i dask worker "${common[@]}" --nthreads 3 --resources GPU=3 --name "$(hostname -s)-gpu$i" &
  workers+=($!)
done
# An empty list hides every device: these workers cannot take one by mistake.
for ((i = 0; i < cpus; i++)); do
  CUDA_VISIBLE_DEVICES= dask worker "${common[@]}" --name "$(hostname -s)-cpu$i" &
  workers+=($!)
done
wait
