#!/bin/sh
# Trains two networks of ours for the same minutes, one core each, and VoxelMorph's for as many steps, then compares them
# with other tools: the folders same-minutes, contest-2mm and contest-1mm of benchmarks/results. From the project's root,
# with the package and the other tools installed:
#
#     make .venv/.installed && .venv/bin/pip install -e '.[benchmarks]'
#     benchmarks/contest.sh ../shared/data [PYTHON]
#
# PYTHON is one with torch, convexAdam and voxelmorph==0.3.4; without, those two are left out. Some two and a half hours on
# two cores (more where the CPU has no bfloat16), half of it training, 10 to 20 minutes SyN's. What was cut off goes on
# where it was, VoxelMorph's training from its beginning; remove models/ and the folders' journal.jsonl to start anew.
# With TRIAL=1 it goes through everything with two steps of training and one pair, in some minutes, and writes to
# models/contest-trial.
set -eu
data=$1
torch=${2:-}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH="$PWD"

# What is missing is said now, not after an hour of training.
"$python" -c "import ants, matplotlib, picsl_greedy, SimpleITK"
[ -z "$torch" ] || "$torch" -c "import convexAdam, torch, voxelmorph"

results=benchmarks/results models=models/same-minutes
dense_steps=100 pyramid_steps=50 torch_steps=800
pairs="--few syn=1" large_pair="--without affine demons syn"
if [ "${TRIAL:-}" ]; then
    results=models/contest-trial models=models/contest-trial
    dense_steps=1 pyramid_steps=1 torch_steps=2
    pairs="--max_pairs 1 --without syn" large_pair="--reference convexadam --without affine demons syn syn-quick greedy"
fi

train() {
    name=$1
    core=$2
    shift 2
    mkdir -p models "$results/same-minutes/$name"
    OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 taskset -c "$core" "$python" train.py \
        --data_dir "$data/brains-2mm" --spacing_mm 2 --orientation LIA --max_val_pairs 1 --notensorboard "$@" \
        --output_dir "$models-$name" >>"$models-$name.log" &
}

keep() {
    cp "$models-$1/log.csv" "$models-$1/config.json" "$results/same-minutes/$1"
    cp "$models-$1.log" "$results/same-minutes/$1/train.log"
}

# Without these, what was begun in the background would go on after an interrupt.
trap 'kill "${dense:-}" "${pyramid:-}" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM

train dense 0 --preset fast --epochs 8 --steps_per_epoch "$dense_steps"
dense=$!
train pyramid 1 --preset base --weight 0.5 --learning_rate 5e-4 --epochs 3 --steps_per_epoch "$pyramid_steps"
pyramid=$!
wait "$dense"
# The same minutes: VxmPyramid stops when VxmDense is done, and what it had after its last whole epoch counts.
[ "${TRIAL:-}" ] || kill "$pyramid" 2>/dev/null || true
wait "$pyramid" || true
trap - EXIT INT TERM
keep dense
keep pyramid
torch_tools=
if [ "$torch" ] && [ ! -e "$models-voxelmorph.json" ]; then
    # As many steps as VxmDense, on both cores; at the authors' 1e-4 so few move nothing.
    "$torch" benchmarks/contest/train_voxelmorph.py --data_dir "$data/brains-2mm" --steps "$torch_steps" \
        --learning_rate 1e-3 --output "$models-voxelmorph.pt"
fi
if [ "$torch" ]; then
    cp "$models-voxelmorph.json" "$results/same-minutes/voxelmorph-torch.json"
    torch_tools="--torch_python $torch --torch_weights $models-voxelmorph.pt"
fi

# The variables hold several words each.
# shellcheck disable=SC2086
"$python" benchmarks/contest/run.py --data_dir "$data/brains-2mm" --spacing_mm 2 $torch_tools \
    --network VxmDense="$models-dense/last.keras" \
    --network VxmPyramid="$models-pyramid/last.keras" \
    --network shipped=shipped --refine 75 $pairs \
    --output_dir "$results/contest-2mm"
# shellcheck disable=SC2086
"$python" benchmarks/contest/run.py --data_dir "$data/brains-1mm" --image_suffix _norm --labels_suffix _seg $torch_tools \
    --network "VxmDense default"=default --network "VxmPyramid small"=small --network "VxmPyramid base"=base \
    --max_pairs 1 $large_pair "refine from identity" --output_dir "$results/contest-1mm"
"$python" benchmarks/table.py
