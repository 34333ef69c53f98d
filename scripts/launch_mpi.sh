#!/usr/bin/env bash
# Runs `python -m cbda_jax.main` under Open MPI, such that SIGTERM stops it in time:
#
#   scripts/launch_mpi.sh -n 4 -- --config=... --workdir=/shared/runs/one ...
#   scripts/launch_mpi.sh -n 16 --hostfile hosts -- --config=... --workdir=/shared/runs/one ...
#
# What stands before -- goes to mpirun, what follows to the program. With Open MPI 5 the program
# needs --coordinator=HOST:PORT of the host of rank 0 as well.
#
# An mpirun that gets SIGTERM kills its processes a second later, which is too soon to save. Here a
# process of this host gets it instead, tells the others, and all exit with 75.
set -euo pipefail

options=()
while (($#)) && [[ $1 != -- ]]; do
  options+=("$1")
  shift
done
if (($# < 2)); then
  echo 'usage: launch_mpi.sh [FLAGS OF MPIRUN] -- --config=... --workdir=/shared/... [FLAGS]' >&2
  exit 64
fi
shift

# By itself mpirun binds each of two processes to one core; those of more to a socket.
mpirun --bind-to none "${options[@]}" python -m cbda_jax.main "$@" &
mpirun=$!
noticed=
# Not what mpirun has started to reach other hosts.
stop() {
  noticed=1
  pkill -TERM -P "$mpirun" -f 'cbda_jax[.]main' ||
    echo 'launch_mpi.sh: SIGTERM came, and no process was found on this host to be told' >&2
}
trap stop TERM

status=0
wait "$mpirun" || status=$?
# A signal ends the wait as well. 127: it had ended before.
while [[ -n $noticed ]]; do
  noticed=
  again=0
  wait "$mpirun" || again=$?
  ((again == 127)) || status=$again
done
exit "$status"
