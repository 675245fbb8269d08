"""The page of one registration: safe, whole, small, without any connection, and true to its certificate."""

import gzip
import hashlib
import html.parser
import re
import shutil
import subprocess
import types

import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.report import write_registration_report
from vxm_tf.report.markup import FOLDER, text
from vxm_tf.report.registration_page import LIMIT_BYTES, NIIVUE, registration_page
from vxm_tf.trust import Uncertainty

HOSTILE = "a<script>alert(1)<b>&\"'.nii.gz"
VOID = {"meta", "link", "img", "input", "br"}
# Of the file of NiiVue 0.69.0 on npm, dist/niivue.umd.js.
NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; fails where an element is not closed."""

    def __init__(self, source):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_page_is_well_formed_and_says_what_the_certificate_says(contents):
    shown = contents()
    page = Page(registration_page(shown))
    for said in ("moving.nii.gz", "fixed.nii.gz", "Folds nowhere", "TransformInverse", "9 x 10 x 11 voxels", "7 steps"):
        assert said in page.text
    assert shown.certificate["inputs"]["moving"]["sha256"] in page.text
    assert "Inverse consistencywithin" in page.text


def test_folds_are_counted_at_the_top(registered, contents):
    field = np.zeros((9, 10, 11, 3), "float32")
    field[4, 5, 6, 0] = 1.5
    shown = contents(registration=registered(field))
    page = registration_page(shown)
    failing = shown.certificate["transform"]["failing_voxels"]
    assert f"The transform folds at {failing} voxels." in page and 'class="badge bad"' in page


def test_folds_between_the_voxels_are_told_apart_and_marked(registered, contents, trilinear_fold):
    shown = contents(registration=registered(trilinear_fold, trilinear_fold.shape[:-1]))
    page = registration_page(shown)
    assert "Interpolated trilinearly, the transform folds in 1 cubes between voxels." in page
    assert '<strong class="bad">in 1 cubes</strong>' in page and "The transform folds at 0 voxels" not in page
    assert shown.folded.sum() == 8


@pytest.mark.parametrize(("verdict", "kind"), [("pass", "good"), ("review", "warn"), ("fail", "bad")])
def test_a_verdict_is_shown_with_its_reasons_and_measures(contents, verdict, kind):
    reasons, measures = ("One <b> thing.", "Another."), {"mutual_information": 1.25}
    given = types.SimpleNamespace(verdict=verdict, reasons=reasons, measures=measures)
    source = registration_page(contents(verdict=given))
    page = Page(source)
    assert f'class="badge {kind}"' in source and "One <b> thing." in page.text and "Another." in page.text
    assert "mutual information" in page.text and "1.25" in page.text and not page.all("b")


def test_a_registration_that_passes_and_folds_is_no_good_news(registered, contents):
    field = np.zeros((9, 10, 11, 3), "float32")
    field[4, 5, 6, 0] = 1.5
    given = types.SimpleNamespace(verdict="pass", reasons=(), measures={})
    page = registration_page(contents(registration=registered(field), verdict=given))
    assert 'class="badge warn"' in page and "The transform folds at" in page


def test_a_page_says_which_channel_it_shows(contents):
    assert "first of" not in registration_page(contents())
    assert "Pictures and correlation are of the first of 3 channels." in registration_page(contents(channels=3))


def test_hostile_names_are_text(registered, contents):
    page = Page(registration_page(contents(registration=registered(names=(HOSTILE, "b.nii.gz")))))
    assert HOSTILE in page.text
    plain = Page(registration_page(contents()))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]


def test_names_that_are_no_characters_can_be_written():
    assert text("a\udc80\x00\x1bb") == "a???b"
    assert text("é → 日本") == "é → 日本"


def test_the_page_loads_nothing(contents):
    page = Page(registration_page(contents()))
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not {"iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';") and "connect-src" not in policy and "http" not in policy
    assert not re.search(r"url\(|@import", (FOLDER / "page" / "page.css").read_text())


def test_every_picture_and_slider_says_what_it_is(contents):
    page = Page(registration_page(contents()))
    pictures = [image for image in page.all("img") if "data-view" in image]
    assert len(pictures) == 3 * 8 and all(image["alt"] for image in pictures)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    named = {attributes.get("aria-labelledby") for attributes in page.all("section")} - {None}
    assert len(named) == 6 and named <= ids


def test_a_2_d_page_needs_no_viewer_for_volumes(contents, registered, rng):
    arrays = [rng.random((15, 18, 1), "float32") for _ in range(2)]
    page = Page(registration_page(contents(registration=registered((1.0, 2.0), (15, 18), arrays=arrays))))
    assert "solid" not in {attributes.get("id") for _, attributes in page.elements}
    assert len([image for image in page.all("img") if "data-view" in image]) == 8


def test_a_calibrated_uncertainty_says_its_bound(contents, registered):
    std = np.full((20, 22, 24), 0.25, "float32")
    for uncertainty, said in (
        (Uncertainty(std, 8, "samples"), False),
        (Uncertainty(std, 8, "samples", bound_mm=3 * std, coverage=0.9), True),
    ):
        registration = registered((1.0, 2.0, 0.0), (20, 22, 24), uncertainty=uncertainty)
        words = re.sub("<[^>]+>", " ", registration_page(contents(registration=registration)))
        assert "0.25 mm" in words
        assert ("Error bound" in words) == ("0.75 mm" in words) == ("90 % of true displacements" in words) == said


def test_a_bound_of_a_pair_beyond_its_calibration_is_qualified(contents, registered):
    std = np.full((20, 22, 24), 0.25, "float32")
    uncertainty = Uncertainty(std, 8, "samples", bound_mm=3 * std, coverage=0.9, beyond=("mean spread of 9 mm",))
    registration = registered((1.0, 2.0, 0.0), (20, 22, 24), uncertainty=uncertainty)
    words = re.sub("<[^>]+>", " ", registration_page(contents(registration=registration)))
    assert "this pair lies outside: mean spread of 9 mm" in words and "as calibrated" not in words


def test_noise_that_cannot_be_packed_still_fits(registered, tmp_path, rng):
    shape = (100, 104, 108)
    std = rng.random(shape, "float32")
    result, certificate = registered((1.0, 0.0, 0.0), shape, uncertainty=Uncertainty(std, 8, "samples"))
    write_registration_report(tmp_path / "report.html", result, certificate)
    assert (tmp_path / "report.html").stat().st_size <= LIMIT_BYTES < 6_000_000


def test_a_report_that_cannot_be_written_leaves_the_old_one(registered, tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("of an earlier run")
    result, certificate = registered()
    before = sorted(tmp_path.iterdir())

    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(InputError, match="report.html: cannot be written"):
            write_registration_report(tmp_path / "report.html", result, certificate)
    assert (tmp_path / "report.html").read_text() == "of an earlier run" and sorted(tmp_path.iterdir()) == before
    write_registration_report(tmp_path / "report.html", result, certificate)
    assert "Registration report" in (tmp_path / "report.html").read_text()


def test_an_old_certificate_without_an_inverse_can_be_shown(contents):
    certificate = {key: value for key, value in contents().certificate.items() if key != "inverse_transform"}
    page = Page(registration_page(contents(certificate=certificate)))
    # The row of that name is about the transform itself.
    assert "Inverse" not in page.text.replace("Inverse consistency", "")


def test_niivue_is_the_file_that_was_published():
    assert hashlib.sha256(gzip.decompress(NIIVUE.read_bytes())).hexdigest() == NIIVUE_SHA256
    licences = (NIIVUE.parent / "LICENSES.txt").read_text()
    assert "NiiVue 0.69.0" in licences and "BSD 2-Clause License" in licences


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_runs_the_page_without_a_complaint(registered, tmp_path):
    result, certificate = registered()
    write_registration_report(tmp_path / "report.html", result, certificate)
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    flags += ("--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom")
    command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path}/profile", f"file://{tmp_path}/report.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert '<html lang="en" class="live">' in done.stdout and "slice 6 of 11" in done.stdout
    assert "CONSOLE" not in done.stderr
