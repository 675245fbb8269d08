"""Points in Slicer's .mrk.json: each markup states its own convention, and everything else comes back."""

import copy
import json

import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial.points import check_points_output, read_points, write_points

POINTS = np.array([[1.5, -2.25, 3.0], [10.0, 20.125, -30.5]])


def control(number, position, **more):
    orientation = [-1.0, -0.0, -0.0, -0.0, -1.0, -0.0, 0.0, 0.0, 1.0]
    return {"id": str(number), "label": f"F-{number}", "position": position, "orientation": orientation, **more}


def markups(system="LPS", **more):
    sign = np.array([-1, -1, 1]) if system == "LPS" else np.ones(3)
    points = [control(i + 1, (p * sign).tolist(), positionStatus="defined") for i, p in enumerate(POINTS)]
    markup = {"type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": points, **more}
    return {"@schema": "https://example.org/markups-schema-v1.0.3.json#", "markups": [markup]}


@pytest.fixture
def store(tmp_path):
    """store(document, name) -> path."""

    def write(document, name="F.mrk.json"):
        (tmp_path / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize("system", ("LPS", "RAS"))
@pytest.mark.parametrize("told", ("LPS", "RAS"))
def test_a_file_says_its_own_convention(store, system, told):
    np.testing.assert_array_equal(read_points(store(markups(system)), told)[0], POINTS)


@pytest.mark.parametrize("system", ("LPS", "RAS"))
def test_all_but_the_positions_comes_back(store, tmp_path, system):
    document = markups(system, display={"color": [0.4, 1.0, 1.0]}, measurements=[{"name": "length", "value": 3}])
    document["markups"][0]["controlPoints"][0]["label"] = "Bregma \u00e4"
    points, like = read_points(store(document))
    write_points(tmp_path / "G.mrk.json", points + (1, 2, 3), like=like)
    written = json.loads((tmp_path / "G.mrk.json").read_text(encoding="utf-8"))
    expected = copy.deepcopy(document)
    del expected["markups"][0]["measurements"]
    signs = (-1, -1, 1) if system == "LPS" else (1, 1, 1)
    for point, place in zip(expected["markups"][0]["controlPoints"], POINTS + (1, 2, 3)):
        point["position"] = (place * signs).tolist()
    assert written == expected


def test_markups_of_two_conventions_in_one_file(store):
    document = markups("LPS")
    document["markups"] += markups("RAS")["markups"]
    np.testing.assert_array_equal(read_points(store(document))[0], np.vstack([POINTS, POINTS]))


def test_points_that_were_not_placed_are_left_alone(store, tmp_path):
    document = markups()
    document["markups"][0]["controlPoints"].insert(1, {"id": "9", "positionStatus": "undefined"})
    points, like = read_points(store(document))
    np.testing.assert_array_equal(points, POINTS)
    write_points(tmp_path / "G.mrk.json", points, like=like)
    assert json.loads((tmp_path / "G.mrk.json").read_text()) == document


def test_new_markups_are_read_back(tmp_path):
    for convention in ("RAS", "LPS"):
        write_points(tmp_path / "N.mrk.json", POINTS, convention)
        markup = json.loads((tmp_path / "N.mrk.json").read_text())["markups"][0]
        sign = -1 if convention == "LPS" else 1
        assert markup["coordinateSystem"] == convention and markup["controlPoints"][0]["position"][0] == 1.5 * sign
        np.testing.assert_array_equal(read_points(tmp_path / "N.mrk.json")[0], POINTS)


def test_two_axes(store, tmp_path):
    points, like = read_points(store(markups()), ndim=2)
    np.testing.assert_array_equal(points, POINTS[:, :2])
    write_points(tmp_path / "G.mrk.json", points + 1, like=like)
    np.testing.assert_array_equal(read_points(tmp_path / "G.mrk.json")[0], POINTS + (1, 1, 0))


def changed(**more):
    document = markups()
    document["markups"][0].update(more)
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"a": 1}, "no markups file of Slicer, which holds a list named markups"),
        (changed(controlPoints=None), "list named controlPoints"),
        (changed(controlPoints=[]), "holds no points"),
        (changed(type="ROI"), "markup of type ROI"),
        (changed(coordinateSystem="IJK"), "coordinateSystem is 'IJK'; expected 'LPS' or 'RAS'"),
        (changed(coordinateUnits="um"), "coordinateUnits are um; expected mm"),
        (
            changed(controlPoints=[control(1, [1, 2])]),
            "control point 1: expected a position of three",
        ),
        (changed(controlPoints=[control(1, [1, 2, "3"])]), "three numbers"),
    ],
)
def test_other_content_is_refused(store, document, message):
    with pytest.raises(InputError, match=f"F.mrk.json.*{message}"):
        read_points(store(document))


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "F.mrk.json").write_text("x,y,z\n1,2,3\n")
    with pytest.raises(InputError, match="F.mrk.json: cannot be read as JSON"):
        read_points(tmp_path / "F.mrk.json")
    with pytest.raises(InputError, match="no such file"):
        read_points(tmp_path / "G.mrk.json")


def test_points_stay_in_their_kind_of_file(store, tmp_path):
    points, like = read_points(store(markups()))
    with pytest.raises(InputError, match="G.csv: moved points are written in the kind of file .* ends in .mrk.json"):
        write_points(tmp_path / "G.csv", points, like=like)
    with pytest.raises(InputError, match="G.csv: moved points"):
        check_points_output(tmp_path / "G.csv", tmp_path / "F.mrk.json")
    with pytest.raises(InputError, match="G.mrk.json: moved points .* a table"):
        check_points_output(tmp_path / "G.mrk.json", tmp_path / "F.csv")
    check_points_output(tmp_path / "G.mrk.json", tmp_path / "F.mrk.json")
