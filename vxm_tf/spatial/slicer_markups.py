"""Points in 3D Slicer's markups files, `.mrk.json`, the kind that Slicer 5 saves by default.

Source: the schema of markups, https://github.com/Slicer/Slicer/tree/main/Modules/Loadable/Markups/Resources/Schema.
"""

import copy
import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from vxm_tf.files.diagnosis import absence
from vxm_tf.files.errors import InputError
from vxm_tf.spatial.formats.itk_kinds import turned

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
# Kinds of markups that are given by their points alone.
_KINDS = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve")


@dataclasses.dataclass(frozen=True, eq=False)
class Markups:
    """The content of a `.mrk.json`, so that it can be written again with other positions.

    Attributes:
        document: the parsed JSON.
        ndim: number of coordinates of each point that are used, 2 or 3.
    """

    document: dict[str, Any]
    ndim: int = 3

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of points and of coordinates."""
        return sum(1 for _ in _positions(self.document)), self.ndim

    def points(self) -> np.ndarray:
        """The points `[n, ndim]`, in RAS millimetres."""
        places = [_signs(system) * point["position"] for system, point in _positions(self.document)]
        return np.array(places, "float64").reshape(-1, 3)[:, : self.ndim]

    def text(self, points_mm: np.ndarray) -> str:
        """The file with other points `[n, ndim]`, in RAS millimetres.

        What Slicer measured on the old points, such as lengths, is left out.
        """
        document = copy.deepcopy(self.document)
        for markup in document["markups"]:
            markup.pop("measurements", None)
        for (system, point), place in zip(_positions(document), points_mm, strict=True):
            whole = np.array([*place, point["position"][2]] if self.ndim == 2 else place)
            point["position"] = [round(float(x), 6) + 0.0 for x in _signs(system) * whole]
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def is_markups(path: str | os.PathLike) -> bool:
    """Whether a file's name is that of markups, which are JSON."""
    return str(path).lower().endswith(".json")


def read_markups(path: str | os.PathLike, ndim: int | None = None) -> tuple[np.ndarray, Markups]:
    """The points in a `.mrk.json`, in RAS millimetres, and its content.

    Control points without a position, which Slicer keeps as "undefined" or "missing", are no points.

    Args:
        path: the file.
        ndim: 2 to ignore the third coordinate.

    Returns:
        (points `[n, ndim]`, float64, in RAS millimetres; the content).

    Raises:
        InputError: no file; JSON of another kind; planes or regions of interest; another unit than millimetres; an
            unknown coordinate system; a position that is not three finite numbers; no points.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: {absence(path)}")
    try:
        with open(path, encoding="utf-8-sig") as stream:
            document = json.load(stream)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(document, dict) or not isinstance(document.get("markups"), list):
        raise InputError(f"{path}: is no markups file of Slicer, which holds a list named markups.")
    for markup in document["markups"]:
        _check_markup(path, markup)
    found = Markups(document, ndim or 3)
    if not found.shape[0]:
        raise InputError(f"{path}: holds no points.")
    return found.points(), found


def new_markups(points: np.ndarray, convention: str) -> Markups:
    """Markups with as many points as an array `[n, ndim]`, in a convention."""
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ValueError(f"points are an array [n, 2] or [n, 3]; got shape {points.shape}.")
    controls = [{"id": str(i + 1), "label": f"F-{i + 1}", "position": [0.0, 0.0, 0.0]} for i in range(len(points))]
    markup = {"type": "Fiducial", "coordinateSystem": convention, "controlPoints": controls}
    return Markups({"@schema": _SCHEMA, "markups": [markup]}, points.shape[1])


def _signs(system: str) -> np.ndarray:
    ones = np.ones(3)
    return turned(ones) if system == "LPS" else ones


def _positions(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(coordinate system, control point) for each point with a position."""
    for markup in document["markups"]:
        for point in markup["controlPoints"]:
            if point.get("positionStatus", "defined") in ("defined", "preview") and "position" in point:
                yield markup["coordinateSystem"], point


def _check_markup(path: str | os.PathLike, markup: Any) -> None:
    if not isinstance(markup, dict) or not isinstance(markup.get("controlPoints"), list):
        raise InputError(f"{path}: is no markups file of Slicer, whose markups have a list named controlPoints.")
    if markup.get("type", "Fiducial") not in _KINDS:
        raise InputError(f"{path}: holds a markup of type {markup['type']}; points come from {', '.join(_KINDS)}.")
    if markup.get("coordinateSystem") not in ("LPS", "RAS"):
        raise InputError(
            f"{path}: its coordinateSystem is {markup.get('coordinateSystem')!r}; expected 'LPS' or 'RAS'."
        )
    units = markup.get("coordinateUnits", "mm")
    if set([units] if isinstance(units, str) else units) != {"mm"}:
        raise InputError(f"{path}: its coordinateUnits are {units}; expected mm.")
    for number, point in enumerate(markup["controlPoints"], 1):
        place = point.get("position", [0, 0, 0]) if isinstance(point, dict) else None
        three = isinstance(place, list) and len(place) == 3
        if not three or not all(isinstance(x, int | float) and np.isfinite(x) for x in place or ()):
            raise InputError(f"{path}, control point {number}: expected a position of three numbers; got {place}.")
