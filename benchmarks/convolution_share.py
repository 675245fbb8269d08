"""Share of convolutions in the time of a prediction and of a training step.

    python benchmarks/convolution_share.py --preset default --what prediction --shape 160 192 224
    python benchmarks/convolution_share.py --preset fast --what training --shape 80 96 112

Times come from TensorFlow's profiler, summed over operations of one kind and divided by the sum over all operations.
Writes `benchmarks/results/profile-<what>-<preset>.json` and the results page.
"""

import argparse
import collections
import glob
import os
import re
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from results_page import write_page
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import vxm_tf
from vxm_tf.files.json_file import write_json
from vxm_tf.training import RegistrationTrainer

HERE = Path(__file__).resolve().parent


def step_function(what, preset, shape):
    """A function that runs one prediction or one training step."""
    network = vxm_tf.models.VxmDense.from_preset(preset, shape)
    rng = np.random.default_rng(0)
    images = {name: rng.random((1, *shape, 1), "float32") for name in ("moving", "fixed")}
    if what == "prediction":
        return lambda: network.predict_on_batch(images)
    trainer = RegistrationTrainer(network, vxm_tf.losses.LNCC(), vxm_tf.losses.GradientPenalty(), bidirectional=False)
    trainer.compile(keras.optimizers.Adam(1e-4), jit_compile=False)
    return lambda: trainer.train_on_batch(images)


def profile(step, steps):
    """Seconds per step for each kind of operation."""
    step()
    step()
    with tempfile.TemporaryDirectory() as directory:
        tf.profiler.experimental.start(directory)
        for _ in range(steps):
            step()
        tf.profiler.experimental.stop()
        (file,) = glob.glob(f"{directory}/**/*.xplane.pb", recursive=True)
        space = xplane_pb2.XSpace.FromString(Path(file).read_bytes())
    seconds = collections.Counter()
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                kind = kind_of(names[event.metadata_id])
                if kind:
                    seconds[kind] += event.duration_ps / 1e12 / steps
    return seconds


def kind_of(name):
    """Kind of the operation in an executor's event "node name:Kind"; None for events that contain other operations."""
    # A function that XLA compiled: the events inside it have XLA's names, so they are not counted twice.
    if name == "CpuExecutable::ExecuteAsyncOnStream":
        return "compiled"
    match = re.fullmatch(r"[^:]+:([A-Za-z_]\w*)", name)
    kind = match and match.group(1)
    # These wait for, or contain, other operations.
    return None if kind in (None, "StatefulPartitionedCall", "PartitionedCall") else kind


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="default", choices=list(vxm_tf.models.PRESETS), help="preset of VxmDense")
    parser.add_argument("--what", default="prediction", choices=("prediction", "training"), help="kind of step")
    parser.add_argument("--shape", type=int, nargs=3, default=(160, 192, 224), help="voxels of both images")
    parser.add_argument("--steps", type=int, default=3, help="steps that are profiled")
    options = parser.parse_args()
    seconds = profile(step_function(options.what, options.preset, tuple(options.shape)), options.steps)
    total = sum(seconds.values())
    convolutions = sum(value for kind, value in seconds.items() if "Conv3D" in kind)
    result = {
        "what": options.what,
        "preset": options.preset,
        "shape": list(options.shape),
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "convolution_share": convolutions / total,
        "seconds_of_all_operations": total,
        "seconds_by_kind": {kind: round(value, 4) for kind, value in seconds.most_common(20)},
    }
    write_json(HERE / "results" / f"profile-{options.what}-{options.preset}.json", result)
    write_page()
    print(f"Convolutions take {100 * result['convolution_share']:.0f} % of {total:.2f} s a {options.what} step.")


if __name__ == "__main__":
    main()
