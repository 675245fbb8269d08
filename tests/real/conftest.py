"""The real volumes beside the checkout; without them these tests are skipped."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def data():
    """data(name) -> folder of that set; the test is skipped, with the reason, where it is absent."""

    def find(name):
        if not (DATA / name).is_dir():
            pytest.skip(f"the real volumes are absent: no folder {DATA / name}")
        return DATA / name

    return find
