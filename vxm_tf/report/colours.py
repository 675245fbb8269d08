"""Colour tables of 256 entries, one for each kind of map, for still pictures and for the viewer of the page."""

import numpy as np

# Codes 1 and 255 stand for determinants of 2 to the power of -2 and of 2; code 0 stands for a voxel that folds.
JACOBIAN_LIMIT = 2.0
# The colour no longer changes below half and above twice the volume, which are 2 to the power of -1 and of 1.
JACOBIAN_SHOWN = 1.0
FOLDED = (255, 43, 214)
# Colours of the picture `registration_panel`: its sheet, the words on it, and the ground and letters of its panes.
SHEET = (246, 247, 249)
INK = (27, 31, 36)
PANE = (24, 26, 31)
LETTERS = (255, 214, 102)


def _ramp(places: np.ndarray, *stops: str) -> np.ndarray:
    """Colours for numbers between 0 and 1, interpolated linearly between equally spaced stops, uint8 `[n, 3]`."""
    channels = np.array([[int(stop[k : k + 2], 16) for k in (0, 2, 4)] for stop in stops], "float64").T
    at = np.linspace(0.0, 1.0, len(stops))
    return np.stack([np.interp(places, at, channel) for channel in channels], axis=-1).round().astype("uint8")


def _volume(*stops: str) -> np.ndarray:
    """Table for `jacobian_codes`; the middle stop is the colour of unchanged volume."""
    logarithm = JACOBIAN_LIMIT * (np.arange(256) - 128) / 127
    table = _ramp(np.clip(0.5 + 0.5 * logarithm / JACOBIAN_SHOWN, 0.0, 1.0), *stops)
    table[0] = FOLDED
    return table


# Blue where the image shrinks, dark where its volume stays, orange where it grows.
JACOBIAN = _volume("d8ecff", "4a9cf0", "1c4f8c", "20242b", "8f4312", "f08a3c", "ffe6c9")
# Local volume for thin lines on a dark pane: blue where it shrinks, light grey where it stays, orange where it grows.
GRID_LINES = _volume("0a6cff", "63a4ff", "d5d9de", "ff9d4d", "ff6a00")
# Blue is negative, dark is 0 (code 128 of `linear_codes` between -limit and limit), red is positive.
DIFFERENCE = _ramp(
    np.clip(0.5 + 0.5 * (np.arange(256) - 128) / 127, 0.0, 1.0),
    "c9e6ff", "3f93ff", "1c4f8c", "1d2026", "94261d", "ff5a3c", "ffe0cf",
)  # fmt: skip
# Lightness grows from the smallest to the largest uncertainty, so the table can also be read in grey.
UNCERTAINTY = _ramp(np.linspace(0.0, 1.0, 256), "0b0a20", "3b1065", "7d1d6d", "bb3754", "ed6925", "fbb41a", "fcffa4")


def jacobian_codes(determinant: np.ndarray, folded: np.ndarray | bool) -> np.ndarray:
    """Codes of Jacobian determinants, uint8: 0 for a fold, otherwise linear in the logarithm, with 128 for 1.

    Args:
        determinant: array of any shape; values of 0 and less count as folds.
        folded: whether a voxel folds, in the shape of `determinant`.
    """
    sound = np.asarray(determinant) > 0.0
    logarithm = np.log2(np.maximum(np.where(sound, determinant, 1.0), 2.0**-JACOBIAN_LIMIT))
    codes = np.clip(np.round(128 + 127 * logarithm / JACOBIAN_LIMIT), 1, 255).astype("uint8")
    return np.where(folded | ~sound, np.uint8(0), codes)


def linear_codes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Codes of values, uint8: 0 for `low` and less, 255 for `high` and more; all 0 if `low` equals `high`."""
    span = high - low
    places = (np.asarray(values, "float32") - low) / span if span > 0 else np.zeros(np.shape(values), "float32")
    return np.clip(np.round(255 * places), 0, 255).astype("uint8")
