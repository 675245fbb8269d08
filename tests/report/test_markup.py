"""Text that is safe, and numbers for people."""

import math

import numpy as np
import pytest

from vxm_tf.report.markup import Raw, number, table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.123456, "0.123"),
        (-0.5, "-0.5"),
        (1234.5, "1,234"),
        (12345, "12,345"),
        (np.float32(0.25), "0.25"),
        (math.nan, "–"),
        (None, "–"),
        ("mild", "mild"),
    ],
)
def test_numbers_are_short(value, shown):
    assert number(value) == shown


def test_cells_are_text_unless_they_are_markup():
    made = table([("<a>", "<b>", Raw("<i>c</i>"))], ("", '"', "&"))
    assert "&lt;a&gt;" in made and "&lt;b&gt;" in made and "<i>c</i>" in made and "&quot;" in made and "&amp;" in made
