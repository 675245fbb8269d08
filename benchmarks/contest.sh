#!/bin/sh
# Trains two networks of ours for the same minutes, one core each, and VoxelMorph's for as many steps, then compares them
# with other tools. Writes the folders same-minutes, contest-2mm and contest-1mm of benchmarks/results, and its page. Run it
# from the project's root, with the package and the other tools installed:
#
#     make .venv/.installed && .venv/bin/pip install -e '.[benchmarks]'
#     benchmarks/contest.sh ../shared/data [PYTHON]
#
# PYTHON is an interpreter with torch, convexAdam and voxelmorph==0.3.4; without it, ConvexAdam and VoxelMorph are left out.
# It takes about two and a half hours on two cores (more if the CPU has no bfloat16); half of that is training, 10 to 20
# minutes are SyN's. An interrupted run continues where it stopped, except that VoxelMorph's training begins again; remove
# models/ and the folders' journal.jsonl to start anew. With TRIAL=1 it runs everything with two steps of training and one
# pair, in a few minutes, and writes to models/contest-trial.
set -eu
data=$1
torch=${2:-}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH="$PWD"

# A missing package is reported now, not after an hour of training.
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

# Without these, the trainings in the background would go on after an interrupt.
trap 'kill "${dense:-}" "${pyramid:-}" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM

train dense 0 --preset fast --epochs 8 --steps_per_epoch "$dense_steps"
dense=$!
train pyramid 1 --preset base --weight 0.5 --learning_rate 5e-4 --epochs 3 --steps_per_epoch "$pyramid_steps"
pyramid=$!
wait "$dense"
# The same minutes: VxmPyramid is stopped when VxmDense is done; its weights after its last whole epoch count.
[ "${TRIAL:-}" ] || kill "$pyramid" 2>/dev/null || true
wait "$pyramid" || true
trap - EXIT INT TERM
keep dense
keep pyramid
torch_tools=
if [ "$torch" ] && [ ! -e "$models-voxelmorph.json" ]; then
    # As many steps as VxmDense, on both cores; at the authors' learning rate of 1e-4 so few steps move nothing.
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
"$python" benchmarks/results_page.py
