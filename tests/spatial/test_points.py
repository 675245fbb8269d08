"""Tables of points, in and out."""

import numpy as np
import pytest

from vxm_tf.files import InputError
from vxm_tf.spatial.points import read_points, write_points

POINTS = np.array([[1.5, -2.25, 3.0], [10.0, 20.125, -30.5]])


@pytest.fixture
def table(tmp_path):
    """table(name, text) -> path."""

    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ants.csv", "x,y,z,t,label\n1.5,-2.25,3.0,0,7\n10.0,20.125,-30.5,0,left\n"),
        ("tabs.tsv", "name\tz\ty\tx\na b\t3.0\t-2.25\t1.5\n\t-30.5\t20.125\t10.0\n"),
        ("spaces.txt", "1.5 -2.25 3.0\n10.0   20.125 -30.5\n"),
        ("bare.csv", "1.5,-2.25,3.0\n10.0,20.125,-30.5\n"),
        ("named.txt", "X Y Z\n1.5 -2.25 3\n10 20.125 -30.5\n"),
        ("quoted.csv", 'x,y,z,label\n1.5,-2.25,3,"left, anterior"\n10,20.125,-30.5,"says ""tip"""\n'),
        ("first.csv", '"name, of it","x","y","z"\n"a, b",1.5,-2.25,3\n"c",10,20.125,-30.5\n'),
        ("lines.csv", 'x,y,z,label\n1.5,-2.25,3,"two\nlines"\n10,20.125,-30.5,b\n'),
        ("end.csv", "x,y,z\n1.5,-2.25,3\n10,20.125,-30.5\n# end\n"),
        ("between.csv", "x,y,z\n1.5,-2.25,3\n# checked\n10,20.125,-30.5\n"),
        ("mark.csv", "\ufeffx,y,z\r\n1.5,-2.25,3\r\n10,20.125,-30.5\r\n"),
        ("spaced.csv", ' x , y , z , label\n 1.5 , -2.25 , 3 , "a, b"\n10, 20.125, -30.5, c \n'),
        ("words.txt", 'label x y z\n"left anterior"  1.5 -2.25 3\ntip 10 20.125   -30.5 \n'),
        ("empty.csv", "x,y,z,label\n1.5,-2.25,3,a\n10,20.125,-30.5,b\n,,,\n,,,\n"),
        ("r.txt", '"x" "y" "z"\n"1" 1.5 -2.25 3\n"2" 10 20.125 -30.5\n'),
        ("noted.csv", "# by hand\nx;y;z\n1.5;-2.25;3\n\n10;20.125;-30.5\n"),
    ],
)
def test_a_table_is_read_whatever_its_form(table, name, text):
    points, _ = read_points(table(name, text))
    np.testing.assert_array_equal(points, POINTS)
    assert points.dtype == "float64"
    flipped, _ = read_points(table(name, text), "LPS")
    np.testing.assert_array_equal(flipped, POINTS * [-1, -1, 1])


def test_what_stands_beside_the_points_comes_back(table, tmp_path):
    path = table("ants.csv", "label,x,y,z,t\nleft,1.5,-2.25,3,0\nright,10,20.125,-30.5,1\n")
    points, like = read_points(path, "LPS")
    write_points(tmp_path / "moved.csv", points + [1, 0, 0], like=like)
    assert (tmp_path / "moved.csv").read_text() == (
        "label,x,y,z,t\nleft,0.500000,-2.250000,3.000000,0\nright,9.000000,20.125000,-30.500000,1\n"
    )
    again, _ = read_points(tmp_path / "moved.csv", "LPS")
    np.testing.assert_allclose(again, points + [1, 0, 0])


def test_two_axes(table, tmp_path):
    points, like = read_points(table("flat.csv", "x,y,t\n1,2,0\n3,4,0\n"), "LPS")
    np.testing.assert_array_equal(points, [[-1, -2], [-3, -4]])
    write_points(tmp_path / "out.csv", points, like=like)
    assert (tmp_path / "out.csv").read_text() == "x,y,t\n1.000000,2.000000,0\n3.000000,4.000000,0\n"
    points, like = read_points(table("deep.csv", "x,y,z\n1,2,5\n3,4,6\n"), ndim=2)
    np.testing.assert_array_equal(points, [[1, 2], [3, 4]])
    assert read_points(table("flat.txt", "1 2\n3 4\n"))[0].shape == (2, 2)


SLICER = """# Markups fiducial file version = 4.11
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
vtkMRMLMarkupsFiducialNode_0,1.5,-2.25,3.0,0,0,0,1,1,1,0,F-1,,vtkMRMLScalarVolumeNode1
vtkMRMLMarkupsFiducialNode_1,10.0,20.125,-30.5,0,0,0,1,1,1,0,F-2,,
"""


@pytest.mark.parametrize(("system", "sign"), [("0", 1), ("RAS", 1), ("1", -1), ("LPS", -1)])
def test_a_slicer_table_says_its_own_convention(table, tmp_path, system, sign):
    text = SLICER.format(system=system)
    points, like = read_points(table("F.fcsv", text), "RAS")
    np.testing.assert_array_equal(points, POINTS * [sign, sign, 1])
    write_points(tmp_path / "G.fcsv", points, "RAS", like)
    written = (tmp_path / "G.fcsv").read_text()
    assert written.splitlines()[:3] == text.splitlines()[:3] and "F-1,,vtkMRMLScalarVolumeNode1" in written
    np.testing.assert_array_equal(read_points(tmp_path / "G.fcsv")[0], points)


@pytest.mark.parametrize(
    ("name", "ndim"),
    [*((name, ndim) for name in ("new.csv", "new.tsv", "new.txt") for ndim in (2, 3)), ("new.fcsv", 3)],
)
@pytest.mark.parametrize("convention", ["RAS", "LPS"])
def test_a_new_table_is_read_back(tmp_path, name, convention, ndim):
    write_points(tmp_path / name, POINTS[:, :ndim], convention)
    points, _ = read_points(tmp_path / name, convention)
    np.testing.assert_array_equal(points, POINTS[:, :ndim])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "holds no points"),
        ("a.csv", "# only\n\n", "holds no points"),
        ("a.csv", "x,y,z\n", "heading but no points"),
        ("a.csv", "x,y,z\n1,2,3\n4,5\n", "line 3: expected 3 columns; got 2"),
        ("a.csv", "x,y,z\n1,2,3\n\n4,five,6\n", "line 4: not a number.*five"),
        ("a.csv", "x,y,z,label\n1,2,3,left, anterior\n", "line 2: expected 4 columns; got 5. Put a field.* in quotes"),
        ("a.csv", 'x,y,z,l\n1,2,3,"a\nb"\n4,five,6,c\n', "line 4: not a number.*five"),
        ("a.csv", "x,y,z\n1,nan,3\n", "line 2: a coordinate is NaN"),
        ("a.csv", "a,b,c\n1,2,3\n", "no column x or y; its columns are a, b, c"),
        ("a.txt", "1 2 3 4\n", "2 or 3 numbers a line; got 4"),
        ("a.txt", "1 2 3\n4 5\n", "line 2: expected 3 columns; got 2"),
        ("a.fcsv", "# columns = id,x,y,z\n0,1,2,3\n", "CoordinateSystem"),
        ("a.fcsv", "# CoordinateSystem = 2\n# columns = id,x,y,z\n0,1,2,3\n", "system is '2'"),
        ("a.fcsv", "# CoordinateSystem = LPS\n0,1,2,3\n", "columns = id"),
    ],
)
def test_a_bad_table_is_refused(table, name, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_points(table(name, text))
    assert name in str(error.value)


def test_other_mistakes(table, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_points(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="cannot be read as text"):
        read_points(tmp_path / "binary.csv")
    path = table("a.csv", "x,y,z\n1,2,3\n")
    with pytest.raises(ValueError, match="'RAS', 'LPS'; got 'LAS'"):
        read_points(path, "LAS")
    _, like = read_points(path)
    with pytest.raises(ValueError, match=r"1 points with 3 coordinates.*got an array of shape \(2, 3\)"):
        write_points(path, POINTS, like=like)
    with pytest.raises(ValueError, match=r"\[n, 2\] or \[n, 3\]"):
        write_points(path, POINTS[0])


def test_quotes_and_comments_come_back(table, tmp_path):
    path = table("a.csv", '# head\nx,label,y,z\n1,"left, anterior",2,3\n# between\n4,"says ""tip""",5,6\n# end\n')
    points, like = read_points(path)
    write_points(tmp_path / "moved.csv", points + 1, like=like)
    assert (tmp_path / "moved.csv").read_text() == (
        '# head\nx,label,y,z\n2.000000,"left, anterior",3.000000,4.000000\n# between\n'
        '5.000000,"says ""tip""",6.000000,7.000000\n# end\n'
    )
    _, again = read_points(tmp_path / "moved.csv")
    assert [row[1] for row in again.body if not isinstance(row, str)] == ["left, anterior", 'says "tip"']


def test_a_spreadsheet_s_unicode_text_is_read(tmp_path):
    (tmp_path / "a.txt").write_bytes("x\ty\tz\n1.5\t-2.25\t3\n10\t20.125\t-30.5\n".encode("utf-16"))
    np.testing.assert_array_equal(read_points(tmp_path / "a.txt")[0], POINTS)
