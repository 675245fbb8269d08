"""Volumes inside a page: a byte a voxel, packed, with what the viewer must know of them."""

import base64
import dataclasses
import gzip
import json

import numpy as np

from vxm_tf.report.colours import JACOBIAN, JACOBIAN_LIMIT, UNCERTAINTY, jacobian_codes, linear_codes
from vxm_tf.report.planes import planes_of
from vxm_tf.report.warped_grid import GRID_STEP


def viewer_data(contents) -> str:
    """What the page's viewer reads, JSON that may stand within a `<script>`.

    Args:
        contents: `ReportContents`.
    """
    grid = contents.grid
    layers = {name: _layer(getattr(contents, name), 0.0, 1.0) for name in ("moving", "fixed", "moved")}
    reach = float(np.abs(contents.displacement).max())
    for axis in range(grid.ndim):
        layers[f"displacement{axis}"] = _layer(contents.displacement[..., axis], -reach, reach)
    codes = jacobian_codes(contents.jacobian, contents.folded)
    # Code 128 is 1; code 0, where it folds, would be one step further down.
    lowest = -JACOBIAN_LIMIT * 128 / 127
    layers["jacobian"] = {"data": packed(codes), "low": lowest, "high": JACOBIAN_LIMIT}
    if contents.uncertainty_mm is not None:
        layers["uncertainty"] = _layer(contents.uncertainty_mm, 0.0, float(contents.uncertainty_mm.max()))
    said = {
        "shape": grid.shape,
        "spacing": [round(size, 6) for size in grid.spacing_mm],
        "affine": np.round(grid.affine, 6).tolist(),
        "placed": contents.placed,
        "planes": [dataclasses.asdict(plane) for plane in planes_of(grid.ndim, contents.placed)],
        "gridStep": GRID_STEP,
        "layers": layers,
        "colours": {"jacobian": JACOBIAN.ravel().tolist(), "uncertainty": UNCERTAINTY.ravel().tolist()},
    }
    return json.dumps(said, separators=(",", ":")).replace("<", "\\u003c")


def packed(codes) -> str:
    """uint8 `[*spatial]` as base64 of gzip of the differences between neighbours along the first axis.

    The first axis runs fastest, as in NIfTI; differences are modulo 256, and the first voxel stands as it is.
    """
    flat = np.asarray(codes, "uint8").ravel(order="F")
    differences = np.diff(flat, prepend=np.uint8(0))
    return base64.b64encode(gzip.compress(differences.tobytes(), 9, mtime=0)).decode()


def _layer(values, low, high):
    return {"data": packed(linear_codes(values, low, high)), "low": low, "high": high}
