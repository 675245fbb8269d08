#!/usr/bin/env bash
# Evaluates the published networks of 2018 and a network of ours on the validation pairs of brains-1mm.
# Usage: benchmarks/legacy.sh DATA OUR.keras   (DATA holds brains-1mm and legacy-voxelmorph)
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1 ours=$2 python=${PYTHON:-.venv/bin/python}
labels=4,43,14,15,10,49,11,50,12,51,13,52,17,53,18,54,26,58,28,60,16,8,47,7,46,3,42
evaluate() {
    "$python" evaluate.py --model "$1" --data_dir "$data/brains-1mm" --image_suffix _norm --labels_suffix _seg \
        --labels "$labels" --nosurface --output_dir "evaluation/legacy/$2"
}
for name in miccai2018_10_02_init1 cvpr2018_vm1_cc cvpr2018_vm1_l2 cvpr2018_vm2_cc cvpr2018_vm2_l2; do
    "$python" -m vxm_tf.cli.convert "$data/legacy-voxelmorph/$name.h5" "models/legacy/$name.keras"
    evaluate "models/legacy/$name.keras" "$name"
done
evaluate "$ours" "$(basename "$(dirname "$ours")")"
"$python" benchmarks/legacy_table.py evaluation/legacy benchmarks/results/legacy-brains-1mm
