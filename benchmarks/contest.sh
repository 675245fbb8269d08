#!/bin/sh
# Trains two networks of ours for the same minutes, one core each, then compares them with other tools: the folders
# same-minutes, contest-2mm and contest-1mm of benchmarks/results. From the project's root, with the package installed:
#
#     benchmarks/contest.sh ../shared/data [PYTHON]
#
# PYTHON is one with torch, convexAdam and voxelmorph==0.3.4; without, those two are left out. Some two hours on two
# cores, half of them training, 10 minutes SyN's. A contest that was cut off goes on where it was; remove the folders'
# journal.jsonl to start anew.
set -eu
data=$1
torch=${2:+--torch_python $2}
torch_weights=
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH="$PWD"

train() {
    name=$1
    core=$2
    shift 2
    OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 taskset -c "$core" "$python" train.py \
        --data_dir "$data/brains-2mm" --spacing_mm 2 --orientation LIA --max_val_pairs 1 --notensorboard "$@" \
        --output_dir "models/same-minutes-$name"
}

train dense 0 --preset fast --epochs 8 --steps_per_epoch 100 &
train pyramid 1 --preset base --weight 0.5 --learning_rate 5e-4 --epochs 3 --steps_per_epoch 50
wait
if [ "$torch" ]; then
    # As many steps as VxmDense, on both cores; at the authors' 1e-4 so few move nothing.
    "$2" benchmarks/contest/train_voxelmorph.py --data_dir "$data/brains-2mm" --steps 800 --learning_rate 1e-3 \
        --output models/same-minutes-voxelmorph.pt
    torch_weights="--torch_weights models/same-minutes-voxelmorph.pt"
fi
results=benchmarks/results/same-minutes
for name in dense pyramid; do
    mkdir -p "$results/$name"
    cp "models/same-minutes-$name/log.csv" "models/same-minutes-$name/config.json" "$results/$name"
done
[ ! "$torch" ] || cp models/same-minutes-voxelmorph.json "$results/voxelmorph-torch.json"

"$python" benchmarks/contest/run.py --data_dir "$data/brains-2mm" --spacing_mm 2 $torch $torch_weights \
    --network VxmDense=models/same-minutes-dense/last.keras \
    --network VxmPyramid=models/same-minutes-pyramid/last.keras \
    --network shipped=shipped --refine 75 --few syn=1 \
    --output_dir benchmarks/results/contest-2mm
"$python" benchmarks/contest/run.py --data_dir "$data/brains-1mm" --image_suffix _norm --labels_suffix _seg $torch \
    --network "VxmDense default"=default --network "VxmPyramid small"=small --network "VxmPyramid base"=base \
    --max_pairs 1 --without affine demons syn "refine from identity" --output_dir benchmarks/results/contest-1mm
"$python" benchmarks/table.py
