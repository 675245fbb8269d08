"""Volumes inside a page, compressed at one byte for each voxel, and the facts that the viewer needs about them."""

import base64
import dataclasses
import gzip
import json
from typing import Any

import numpy as np

from vxm_tf.report.colours import JACOBIAN, JACOBIAN_LIMIT, UNCERTAINTY, jacobian_codes, linear_codes
from vxm_tf.report.contents import ReportContents
from vxm_tf.report.planes import planes_of
from vxm_tf.report.warped_grid import GRID_STEP


def viewer_data(contents: ReportContents) -> str:
    """The JSON text that the viewer of the page reads, safe within a `<script>` element."""
    grid = contents.grid
    layers = {name: _layer(getattr(contents, name), 0.0, 1.0) for name in ("moving", "fixed", "moved")}
    reach = float(np.abs(contents.displacement).max())
    for axis in range(grid.ndim):
        layers[f"displacement{axis}"] = _layer(contents.displacement[..., axis], -reach, reach)
    codes = jacobian_codes(contents.jacobian, contents.folded)
    # Code 128 stands for 1; code 0, a fold, lies one step below the smallest determinant, code 1.
    lowest = -JACOBIAN_LIMIT * 128 / 127
    layers["jacobian"] = {"data": packed(codes), "low": lowest, "high": JACOBIAN_LIMIT}
    if contents.uncertainty_mm is not None:
        layers["uncertainty"] = _layer(contents.uncertainty_mm, 0.0, float(contents.uncertainty_mm.max()))
    facts = {
        "shape": grid.shape,
        "spacing": [round(size, 6) for size in grid.spacing_mm],
        "affine": np.round(grid.affine, 6).tolist(),
        "placed": contents.placed,
        "planes": [dataclasses.asdict(plane) for plane in planes_of(grid.ndim, contents.placed)],
        "gridStep": GRID_STEP,
        "layers": layers,
        "colours": {"jacobian": JACOBIAN.ravel().tolist(), "uncertainty": UNCERTAINTY.ravel().tolist()},
    }
    return json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")


def packed(codes: np.ndarray) -> str:
    """A volume of uint8 `[*spatial]` as text: differences between successive voxels, compressed with gzip, in base64.

    The first axis runs fastest, as in NIfTI. Differences are modulo 256, and the first voxel is stored as it is.
    """
    flat = np.asarray(codes, "uint8").ravel(order="F")
    differences = np.diff(flat, prepend=np.uint8(0))
    return base64.b64encode(gzip.compress(differences.tobytes(), 9, mtime=0)).decode()


def _layer(values: np.ndarray, low: float, high: float) -> dict[str, Any]:
    return {"data": packed(linear_codes(values, low, high)), "low": low, "high": high}
