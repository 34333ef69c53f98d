#!/usr/bin/env bash
# Runs `python -m cbda_jax.main` on every host of a Cloud TPU slice.
#
# The repository lies at the same path on every host, installed with `pip install -e '.[tpu]'`.
# --workdir and --config.data.dir name places that all hosts share (a mounted disk, or gs://BUCKET/...).
set -euo pipefail

usage() {
  cat >&2 <<'END'
usage: launch_tpu.sh --name TPU --zone ZONE [--project PROJECT] [--folder FOLDER] -- FLAGS...
       launch_tpu.sh --name TPU --zone ZONE --stop

  --name     of the TPU VM, as `gcloud compute tpus tpu-vm list` gives it
  --zone     it is in, such as us-west4-a
  --project  of Google Cloud; by default the one that gcloud is set to
  --folder   of the repository on the hosts (default: cbda_jax, in the home folder)
  --stop     sends SIGTERM to a run that was started so: it saves and ends, to go on later
  FLAGS      of cbda_jax.main: --config=... --workdir=gs://BUCKET/runs/one ...

Exit status: that of ssh; 75 if the run was told to stop: the same command goes on with it.
END
  exit 64
}

name='' zone='' folder='cbda_jax' stop=''
project=()
while (($#)); do
  case "$1" in
    --name | --zone | --project | --folder)
      (($# > 1)) || { echo "launch_tpu.sh: $1 needs a value" >&2; usage; }
      case "$1" in
        --name) name=$2 ;;
        --zone) zone=$2 ;;
        --project) project=("--project=$2") ;;
        --folder) folder=$2 ;;
      esac
      shift 2
      ;;
    --stop) stop=yes; shift ;;
    --) shift; break ;;
    *) echo "launch_tpu.sh: $1 found, expected a flag below, or -- before those of the run" >&2; usage ;;
  esac
done
[[ -n $name ]] || { echo 'launch_tpu.sh: --name is missing' >&2; usage; }
[[ -n $zone ]] || { echo 'launch_tpu.sh: --zone is missing' >&2; usage; }

if [[ -n $stop ]]; then
  # The brackets keep the pattern from finding the shell that it is in.
  command="pkill -TERM -f 'cbda_jax[.]main' || true"
else
  (($#)) || { echo 'launch_tpu.sh: no flags of the run found; expected them behind --' >&2; usage; }
  # Quoted here, once, for the shells at the other end.
  printf -v flags ' %q' "$@"
  printf -v command 'cd %q && exec python3 -m cbda_jax.main --distributed=on%s' "$folder" "$flags"
fi
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" ${project[@]+"${project[@]}"} \
  --worker=all --command="$command"
