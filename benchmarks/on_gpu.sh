#!/usr/bin/env bash
# All that is measured on a GPU, on a machine that is lent for minutes: inference, training, degradations, memory.
#
#     benchmarks/on_gpu.sh on_gpu.json                    # at most 11 minutes
#     WHEELS=wheels benchmarks/on_gpu.sh on_gpu.json      # first install the wheels of that folder beside what is there
#     MINUTES=5 ONLY=training benchmarks/on_gpu.sh x.json # less time; only parts whose names begin so
#     benchmarks/on_gpu.sh --cpu on_cpu.json              # tries the script itself, where there is no GPU
#
# Each part is one of the other benchmarks in a process of its own, with a time limit. The file holds what was measured
# after every part, so that a run which is cut off keeps what it had; a part that fails or takes too long says so in it.
# A file that is there already is added to.
# The wheels are those of `uv pip compile pyproject.toml` but torch and NVIDIA's, which the machine has (torch 2.11 or
# later): `pip download --no-deps -r` that list `-d wheels`.
set -u
cd "$(dirname "$0")/.."
end=$((SECONDS + ${MINUTES:-11} * 60))
cpu=
if [ "${1:-}" = --cpu ]; then cpu=yes; shift; fi
results=$(realpath "${1:?give the file for the results}")
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
python=python
if [ -n "${WHEELS:-}" ]; then
    python3 -m venv --system-site-packages "$parts/venv"
    python=$parts/venv/bin/python
    $python -m pip install -q --no-index --no-deps "$WHEELS"/*.whl || exit 1
fi
export PYTHONPATH=$PWD WANDB_MODE=offline SR_OFFLINE=1

# part NAME SECONDS SCRIPT [ARGUMENT]...: run a benchmark within its limit and the time that is left, and keep its figures.
part() {
    local name=$1 limit=$2 script=$3 left=$((end - SECONDS)) code
    shift 3
    case $name in "${ONLY:-}"*) ;; *) return ;; esac
    [ $left -lt 20 ] && { echo "$name: no time left"; return; }
    echo "== $name"
    timeout -k 5 $((limit < left - 5 ? limit : left - 5)) \
        $python "benchmarks/$script" "$@" --json "$parts/$name.json" 2> "$parts/$name.err"
    code=$?
    [ $code -eq 0 ] || { echo "failed with $code:"; tail -n 5 "$parts/$name.err"; }
    $python - "$results" "$parts" "$name" $code $SECONDS <<'END'
import json, sys
from pathlib import Path

results, parts, name, code, seconds = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
all_parts = json.loads(results.read_text()) if results.exists() else {}
said = (parts / f"{name}.err").read_text(errors="replace").splitlines()[-20:]
figures = parts / f"{name}.json"
all_parts[name] = {"until": int(seconds)} | (
    {"figures": json.loads(figures.read_text())} if figures.exists() else {"failed": int(code), "said": said}
)
whole = results.with_name(results.name + ".tmp")
whole.write_text(json.dumps(all_parts, indent=2) + "\n")
whole.replace(results)
END
}

networks="msrresnet srresnet rrdbnet frvsr compact frvsr_rrdb esc"
if [ $cpu ]; then
    for network in $networks; do
        part "inference_$network" 600 inference.py --networks "$network" --no-peers --repeats 1 --size 16x12 --device cpu
    done
    part video_msrresnet 600 video.py --networks msrresnet --frames 4 --device cpu
    part degradations 600 degradations.py --repeats 1
    for training in msrresnet rrdbnet esrgan frvsr; do
        part "training_$training" 600 training_on_gpu.py --trainings $training --no-large --steps 40 --accelerator cpu --small
    done
    part training_large 600 training_on_gpu.py --trainings --accelerator cpu --small
    exit
fi
# The most wanted first.
part training_msrresnet 70 training_on_gpu.py --trainings msrresnet --no-large --steps 100
for network in msrresnet rrdbnet frvsr srresnet; do
    part "inference_$network" 60 inference.py --networks $network --no-peers --batch 8 --repeats 5
done
part training_large 100 training_on_gpu.py --trainings
part training_rrdbnet 100 training_on_gpu.py --trainings rrdbnet --no-large --steps 100
part degradations 40 degradations.py --repeats 5
part training_frvsr 90 training_on_gpu.py --trainings frvsr --no-large --steps 70
part training_esrgan 120 training_on_gpu.py --trainings esrgan --no-large --steps 100
for network in compact frvsr_rrdb esc; do
    part "inference_$network" 60 inference.py --networks $network --no-peers --batch 8 --repeats 5
done
part video_msrresnet 60 video.py --networks msrresnet --frames 120 --device cuda
