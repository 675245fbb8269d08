"""Decimal texts against the rule that defines them, one number at a time."""

import numpy as np
import pytest

from vxm_tf.serving.rest.number_text import decimal_texts

DIGITS = {"float32": 9, "float64": 17}


def text_of(value, digits):
    """Six digits if they read back, else all; ".0" where neither point nor exponent is."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    short = f"{value:g}"
    text = short if type(value)(short) == value else f"{value:.{digits}g}"
    return text if "." in text or "e" in text else text + ".0"


def numbers(rng, dtype):
    """Of every size and kind: any bits, few decimals, whole, powers of ten, the smallest and largest."""
    bits = rng.integers(0, 2**63, 20_000, dtype="uint64") * np.uint64(2)
    info = np.finfo(dtype)
    # Any bits include what is no number, or too large for float32.
    with np.errstate(all="ignore"):
        parts = [
            (bits >> np.uint64(32)).astype("uint32").view("float32") if dtype == "float32" else bits.view("float64"),
            rng.normal(0, 5, 20_000),
            np.round(rng.normal(0, 100, 20_000), 3),
            np.array(
                [float(f"{value:.6g}") for value in rng.normal(0, 1, 10_000) * 10.0 ** rng.integers(-35, 35, 10_000)]
            ),
            rng.integers(-(2**40), 2**40, 5_000) >> rng.integers(0, 40, 5_000),
            10.0 ** np.arange(-37, 38),
            [0.0, -0.0, np.nan, np.inf, -np.inf, info.max, info.tiny, info.smallest_subnormal, 999999.5, 1e6, 16777217],
        ]
        return np.concatenate([np.asarray(part).astype(dtype) for part in parts])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_has_the_text_of_the_rule(rng, dtype):
    values = numbers(rng, dtype)
    expected = [text_of(value, DIGITS[dtype]) for value in values]
    wrong = [pair for pair in zip(decimal_texts(values), expected) if pair[0] != pair[1]]
    assert wrong == []


def test_every_text_reads_back_as_its_number(rng):
    values = rng.normal(0, 1, 10_000).astype("float32")
    assert np.array_equal(np.array(decimal_texts(values), "float32"), values)


def test_no_numbers_have_no_texts():
    assert decimal_texts(np.zeros(0, "float32")) == []
