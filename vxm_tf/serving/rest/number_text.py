"""Decimal text of floating-point numbers, exactly as TensorFlow Serving writes it, for millions at a time."""

from fractions import Fraction

import numpy as np

# Six digits, all digits, a whole number, and three that take a value and write a word.
FORMATS = {
    np.dtype("float32"): np.array(["%g", "%.9g", "%.1f", "NaN%.0s", "Infinity%.0s", "-Infinity%.0s"], object),
    np.dtype("float64"): np.array(["%g", "%.17g", "%.1f", "NaN%.0s", "Infinity%.0s", "-Infinity%.0s"], object),
}
SHORT, FULL, WHOLE, NAN, INFINITE, MINUS_INFINITE = range(6)
# Up to here a whole number in all digits has no exponent.
LARGEST_PLAIN = {np.dtype("float32"): 1e9, np.dtype("float64"): 1e17}
# Powers of ten that float64 holds exactly.
EXACT_POWERS = 10.0 ** np.arange(23)
# Bits of a float64 beyond a float32's, and the value they have halfway between two float32.
EXTRA_BITS = np.uint64((1 << 29) - 1)
HALFWAY = np.uint64(1 << 28)


def decimal_texts(values: np.ndarray) -> list[str]:
    """One text for each number: six digits if these read back as the same number, else enough that do.

    Whole numbers without an exponent end in ".0"; NaN, Infinity and -Infinity are written as such.

    Args:
        values: float32 or float64, `[n]`.

    Returns:
        `n` texts.

    Example:
        >>> decimal_texts(np.array([0.2, 1 / 3, 5, 16777216, 9e6, np.inf], "float32"))
        ['0.2', '0.333333343', '5.0', '16777216.0', '9e+06', 'Infinity']
    """
    if not values.size:
        return []
    formats = FORMATS[values.dtype][_codes(values)].tolist()
    return ("\n".join(formats) % tuple(values.tolist())).split("\n")


def _codes(values):
    """Which of the formats each number takes."""
    magnitude = np.abs(values.astype("float64"))
    finite = np.isfinite(magnitude)
    whole = finite & (magnitude == np.trunc(magnitude))
    short = np.zeros(values.shape, bool)
    asked = finite & ~(whole & (magnitude < 1e6))
    short[asked] = _survives_six_digits(values[asked])
    codes = np.where(short, SHORT, FULL)
    codes[whole & ~short & (magnitude < LARGEST_PLAIN[values.dtype])] = WHOLE
    codes[np.isnan(values)] = NAN
    codes[np.isposinf(values)] = INFINITE
    codes[np.isneginf(values)] = MINUS_INFINITE
    return codes


def _survives_six_digits(values):
    """Whether "%g" reads back as the same number; finite and not 0.

    Six digits and a power of ten up to 22 are exact in float64, so their product or quotient is what a correct
    reader makes of the text. A number near the middle between two texts of six digits is far from both, hence
    the rounding here need not be the printer's.
    """
    magnitude = np.abs(values.astype("float64"))
    power = np.floor(np.log10(magnitude)).astype(int) - 5
    reach = len(EXACT_POWERS) - 1
    scale = EXACT_POWERS[np.minimum(np.abs(power), reach)]
    digits = np.rint(np.where(power < 0, magnitude * scale, magnitude / scale))
    read = np.where(power < 0, digits / scale, digits * scale)
    far = np.abs(power) > reach
    read[far] = [float(f"{value:g}") for value in magnitude[far].tolist()]
    if values.dtype == np.float64:
        return read == magnitude
    return _reads_as_float32(read, np.abs(values))


def _reads_as_float32(read, magnitude):
    """Whether texts that float64 reads as `read` are `magnitude` in float32, without rounding twice."""
    with np.errstate(over="ignore"):
        same = read.astype("float32") == magnitude
    unsure = (read.view("uint64") & EXTRA_BITS) == HALFWAY
    unsure |= magnitude < 4 * np.finfo("float32").tiny
    same[unsure] = [_survives_exactly(value) for value in magnitude[unsure]]
    return same


def _survives_exactly(value):
    """The same for one positive float32, in rational numbers."""
    text = Fraction(f"{value:g}")
    exact = Fraction(float(value))
    below = (exact + Fraction(float(np.nextafter(value, np.float32(0))))) / 2
    upper = np.nextafter(value, np.float32(np.inf))
    above = (exact + Fraction(float(upper))) / 2 if np.isfinite(upper) else 2 * exact - below
    even = not value.view("uint32") & 1
    return below < text < above or (even and text in (below, above))
