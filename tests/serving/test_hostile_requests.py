"""A served network refuses what is wrong in a sentence, over real HTTP, and serves on."""

import base64
import gzip
import http.client
import json
import re
import socket
import struct
import time
import zlib

import keras
import nibabel
import numpy as np
import pytest

from vxm_tf.models import VxmDense
from vxm_tf.serving import export_saved_model
from vxm_tf.serving.rest import Limits, Model, RestServer

LIMITS = Limits(queue=4, max_request_mb=2, max_inflated_mb=4, request_seconds=1, answer_seconds=20)
SHAPE = (8, 9, 10)
PREDICT = "/v1/models/vxm:predict"
# What only the inside of a graph or a program is called.
LEAKS = re.compile(
    r"Traceback|\bnodes?\b|StatefulPartitionedCall|PartitionedCall|\{\{|\[Op:|__inference|Graph execution|Detected at"
    r"|File \"|\.py\b|/(?:home|tmp|usr|root|work)/|object at 0x|signature_wrapper|TensorSpec|<tf"
)
# Of a NIfTI header: offset, format.
FIELDS = {
    "sizeof_hdr": (0, "i"), "dim": (40, "8h"), "datatype": (70, "h"), "pixdim": (76, "8f"), "vox_offset": (108, "f"),
    "slope": (112, "f"), "inter": (116, "f"), "units": (123, "B"), "codes": (252, "2h"), "quaternion": (256, "3f"),
    "srow": (280, "12f"), "magic": (344, "4s"),
}  # fmt: skip
SROW = (4, 0, 0, -14, 0, 4, 0, -16, 0, 0, 4, -18)


def scan(seed=0, dtype="<i2", shape=SHAPE):
    """A bright blob as the bytes of a NIfTI file, 4 mm a voxel."""
    values = np.random.default_rng(seed).integers(0, 300, shape)
    values[2:-2, 2:-2, 2:-2] += 600
    affine = np.vstack([np.reshape(SROW, (3, 4)), [0, 0, 0, 1]]).astype(float)
    image = nibabel.Nifti1Image(values.astype(dtype), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    return image.to_bytes()


FIXED, MOVING = scan(0), scan(1)
ZIPPED = gzip.compress(MOVING)


def edited(content=MOVING, **fields):
    """A file whose header says something else."""
    header = bytearray(content)
    for name, value in fields.items():
        offset, form = FIELDS[name]
        struct.pack_into("<" + form, header, offset, *(value if isinstance(value, tuple) else (value,)))
    return bytes(header)


def dims(*sizes):
    return edited(dim=(len(sizes), *sizes, *[1] * (7 - len(sizes))))


def voxels(*values, dtype=np.float32, code=16, **fields):
    """A file of floats that begins with these values."""
    numbers = np.random.default_rng(2).random(int(np.prod(SHAPE))).astype(dtype)
    numbers[: len(values)] = values
    return edited(MOVING[:352] + numbers.tobytes(), datatype=code, **fields)


def filled(*values):
    return edited(MOVING[:352] + np.resize(np.float32(values), SHAPE).tobytes(), datatype=16)


def scaled(factor, content=MOVING):
    return edited(content, srow=tuple(factor * number for number in SROW))


def thin(length, step):
    """A long row of voxels."""
    pixels = np.tile(np.arange(length, dtype="u1"), 4)
    return edited(MOVING[:352] + pixels.tobytes(), dim=(3, length, 2, 2, 1, 1, 1, 1), datatype=2,
                  srow=(step, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0))  # fmt: skip


def patched(content, offset, replacement):
    return content[:offset] + replacement + content[offset + len(replacement) :]


def member(data, size=None):
    """A gzip archive, the size in its last bytes as asked for."""
    archive = gzip.compress(data)
    return archive if size is None else archive[:-4] + struct.pack("<I", size)


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def nifti(moving=MOVING, fixed=FIXED):
    return {"signature_name": "register_nifti", "inputs": {"moving": b64(moving), "fixed": b64(fixed)}}


RAW = np.arange(np.prod(SHAPE), dtype="<u2").tobytes()


def raw(content=None, shape=SHAPE, dtype="uint16", **changes):
    """A request for `register_bytes`."""
    inputs = {"fixed": b64(gzip.compress(RAW)), "fixed_shape": list(SHAPE), "fixed_dtype": "uint16"}
    inputs |= {"moving": b64(gzip.compress(RAW) if content is None else content)}
    inputs |= {"moving_shape": list(shape) if isinstance(shape, tuple) else shape, "moving_dtype": dtype}
    return {"signature_name": "register_bytes", "inputs": {**inputs, **changes}}


def plain(shape=SHAPE, channels=1, value=None):
    values = np.arange(np.prod(shape)).reshape(1, *shape, 1) / 1000.0
    values = np.repeat(values, channels, -1).tolist()
    if value is not None:
        values[0][0][0][0][0] = value
    return values


def pair(moving=None, fixed=None, **changes):
    """A request for `register`."""
    moving, fixed = (plain() if image is None else image for image in (moving, fixed))
    return {"signature_name": "register", "inputs": {"moving": moving, "fixed": fixed}, **changes}


def warp(image=None, displacement=None, name="warp", key="image"):
    image = plain() if image is None else image
    displacement = plain(channels=3) if displacement is None else displacement
    return {"signature_name": name, "inputs": {key: image, "displacement": displacement}}


def text(request, old, new):
    return json.dumps(request).encode().replace(old, new)


NAN, INF = float("nan"), float("inf")
NIFTI = {
    "nothing": nifti(b""),
    "no file": nifti(b"volume"),
    "noise": nifti(np.random.default_rng(3).bytes(5000)),
    "zeros": nifti(bytes(5000)),
    "header alone": nifti(MOVING[:348]),
    "voxels missing": nifti(MOVING[:-1]),
    "no voxels at all": nifti(MOVING[:352]),
    "truncated gzip": nifti(ZIPPED[:-20]),
    "gzip without its end": nifti(ZIPPED[:-8]),
    "corrupt gzip": nifti(patched(ZIPPED, 100, b"\xff\0\xff\0")),
    "gzip with a wrong sum": nifti(patched(ZIPPED, len(ZIPPED) - 8, b"abcd")),
    "gzip magic alone": nifti(b"\x1f\x8b"),
    "gzip of nothing": nifti(gzip.compress(b"")),
    "gzip, then other things": nifti(ZIPPED + b"more"),
    "gzip in gzip": nifti(gzip.compress(ZIPPED)),
    "raw deflate": nifti(zlib.compress(MOVING)),
    "honest bomb": nifti(gzip.compress(bytes(20 << 20))),
    "bomb that says little": nifti(member(bytes(20 << 20), 352)),
    "small archive that says much": nifti(member(MOVING, 2**32 - 1)),
    "bomb of many members": nifti(gzip.compress(bytes(1 << 20)) * 20),
    "bombs below the limit, above it together": nifti(*[gzip.compress(bytes(3 << 20))] * 2),
    "size of header": nifti(edited(sizeof_hdr=540)),
    "magic of two files": nifti(edited(magic=b"ni1\0")),
    "magic of nothing": nifti(edited(magic=b"\xff\xfe\xfd\xfc")),
    "other byte order": nifti(edited(sizeof_hdr=struct.unpack(">i", struct.pack("<i", 348))[0])),
    "negative dimension": nifti(dims(-8, 9, 10)),
    "two negative dimensions": nifti(dims(-8, -9, 10)),
    "dimension of 0": nifti(dims(8, 0, 10)),
    "most voxels, few bytes": nifti(dims(512, 512, 512)),
    "too many voxels": nifti(dims(32767, 32767, 32767)),
    "four volumes": nifti(dims(4, 3, 3, 4)),
    "two axes": nifti(dims(8, 90)),
    "no axes": nifti(edited(dim=(0,) * 8)),
    "number of axes": nifti(edited(dim=(9, *SHAPE, 1, 1, 1, 1))),
    "unknown type": nifti(edited(datatype=3)),
    "complex numbers": nifti(edited(datatype=1792)),
    "wider type than bytes": nifti(edited(datatype=64)),
    "voxels in the header": nifti(edited(vox_offset=100.0)),
    "voxels beyond the end": nifti(edited(vox_offset=1e9)),
    "voxels at NaN": nifti(edited(vox_offset=NAN)),
    "voxels at minus infinity": nifti(edited(vox_offset=-INF)),
    "affine of NaN": nifti(edited(srow=(NAN, *SROW[1:]))),
    "affine of infinity": nifti(edited(srow=(INF, *SROW[1:]))),
    "singular affine": nifti(edited(srow=(4, 0, 0, 0) * 3)),
    "affine of zeros": nifti(edited(srow=(0,) * 12)),
    "nearly singular affine": nifti(edited(srow=(4, 4, 0, 0, 0, 1e-7, 0, 0, 0, 0, 4, 0))),
    "oblique fixed image": nifti(fixed=edited(FIXED, srow=(4, 2, 0, -14, 0, 4, 0, -16, 0, 0, 4, -18))),
    "voxels of 1e30 mm": nifti(scaled(1e30)),
    "fixed voxels of 1e30 mm": nifti(fixed=scaled(1e30, FIXED)),
    "both of 1e30 mm": nifti(scaled(1e30), scaled(1e30, FIXED)),
    "voxels of 1e-30 mm": nifti(scaled(1e-30)),
    "fixed voxels of 1e-30 mm": nifti(fixed=scaled(1e-30, FIXED)),
    "voxels of a micrometre": nifti(scaled(2e-4), scaled(2e-4, FIXED)),
    "voxels of 1e6 mm": nifti(scaled(2e5), scaled(2e5, FIXED)),
    "turned voxels of a nanometre": nifti(*[edited(c, srow=(7e-7, 8e-7, 0, 0, -8e-7, 7e-7, 0, 0, 0, 0, 4, 0))
                                            for c in (MOVING, FIXED)]),
    "voxels of a decimetre": nifti(scaled(25.0), scaled(25.0, FIXED)),
    "metres": nifti(edited(units=1), edited(FIXED, units=1)),
    "far apart": nifti(edited(srow=(4, 0, 0, 9000, *SROW[4:]))),
    "beyond any place": nifti(*[edited(c, srow=(4, 0, 0, 1e30, *SROW[4:])) for c in (MOVING, FIXED)]),
    "long qform": nifti(edited(codes=(1, 0), quaternion=(1.0, 1.0, 1.0))),
    "qform of NaN": nifti(edited(codes=(1, 0), quaternion=(NAN, 0.0, 0.0))),
    "neither qform nor sform, voxels of 0": nifti(edited(codes=(0, 0), pixdim=(0,) * 8)),
    "unit of length": nifti(edited(units=7)),
    "intercept of NaN": nifti(edited(slope=1.0, inter=NAN)),
    "slope beyond float32": nifti(edited(slope=3e38)),
    "NaN voxel": nifti(voxels(NAN)),
    "infinite voxel": nifti(voxels(-INF)),
    "voxel beyond float32": nifti(voxels(1e300, dtype=np.float64, code=64)),
    "range beyond float32": nifti(filled(3e38, -3e38, 0.0, 1.0)),
    "fixed range beyond float32": nifti(fixed=filled(3e38, -3e38, 0.0, 1.0)),
    "constant": nifti(filled(7.0)),
    "constant fixed image": nifti(fixed=filled(7.0)),
    "long row of fine voxels": nifti(thin(32767, 0.05)),
    "long row of coarse voxels": nifti(fixed=thin(32767, 500.0)),
    "both wrong": nifti(b"a", b"b"),
}  # fmt: skip
BYTES = {
    "raw: no gzip": raw(RAW),
    "raw: corrupt gzip": raw(patched(gzip.compress(RAW), 60, b"\xff\xff\xff\xff")),
    "raw: too short": raw(gzip.compress(RAW[:-1])),
    "raw: too long": raw(gzip.compress(RAW + b"\0")),
    "raw: bomb": raw(gzip.compress(bytes(30 << 20))),
    "raw: most voxels, few bytes": raw(shape=(512, 512, 512), dtype="float32"),
    "raw: huge": raw(shape=(2**31 - 1,) * 3),
    "raw: product that wraps": raw(shape=(65536, 65536, 720)),
    "raw: beyond int32": raw(shape=(2**31, 1, 1)),
    "raw: negative": raw(shape=(-8, -9, 10)),
    "raw: zero": raw(shape=(0, 9, 10)),
    "raw: two axes": raw(shape=(8, 90)),
    "raw: no axes": raw(shape=[]),
    "raw: shape is a number": raw(shape=720),
    "raw: shape of shapes": raw(shape=[[8, 9, 10]]),
    "raw: shape of text": raw(shape=["8", "9", "10"]),
    "raw: shape of fractions": raw(shape=(8.5, 9, 10)),
    "raw: other shapes": raw(shape=(9, 8, 10)),
    "raw: unknown type": raw(dtype="complex64"),
    "raw: type is a number": raw(dtype=3),
    "raw: type is no UTF-8": raw(dtype=b64(b"\xff\xfe")),
    "raw: types": raw(dtype=["uint16", "uint16"]),
    "raw: NaN": raw(gzip.compress(np.full(SHAPE, NAN, "<f4").tobytes()), dtype="float32"),
    "raw: range": raw(gzip.compress(np.resize(np.float32([3e38, -3e38, 0, 1]), SHAPE).tobytes()), dtype="float32"),
    "raw: constant": raw(gzip.compress(bytes(len(RAW)))),
    "raw: list of volumes": raw(moving=[b64(gzip.compress(RAW))]),
}
TENSORS = {
    "pair: NaN": pair(plain(value=NAN)),
    "pair: infinite": pair(plain(value=INF)),
    "pair: 1e38": pair(np.full((1, *SHAPE, 1), 1e38).tolist()),
    "pair: text": pair(plain(value="1")),
    "pair: null": pair([[[[None]]]]),
    "pair: scalar": pair(1.0),
    "pair: no list": pair([]),
    "pair: without channels": pair(np.zeros((1, *SHAPE)).tolist()),
    "pair: an axis too many": pair(np.zeros((1, *SHAPE, 1, 1)).tolist()),
    "pair: two channels": pair(plain(channels=2)),
    "pair: other shape": pair(plain((8, 9, 9))),
    "pair: two against one": pair(plain() * 2),
    "pair: uneven": pair([plain()[0], plain()[0][1:]]),
    "pair: bytes": pair(b64(b"1")),
    "pair: one missing": {"signature_name": "register", "inputs": {"moving": plain()}},
    "pair: one too many": {"signature_name": "register", "instances": [{"moving": 1, "fixed": 2, "extra": 3}]},
    "pair: plain": {"signature_name": "register", "inputs": plain()},
    "pair: rows and columns": pair(instances=[1]),
    "pair: no inputs": {"signature_name": "register"},
    "warp: two components": warp(displacement=plain(channels=2)),
    "warp: other shape": warp(displacement=plain((8, 9, 9), 3)),
    "warp: NaN": warp(displacement=plain(channels=3, value=NAN)),
    "warp: no channels": warp(image=np.zeros((1, *SHAPE)).tolist()),
    "warp: labels of NaN": warp(plain(value=NAN), None, "warp_labels", "labels"),
    "warp: an id beyond 32 bits": warp(plain(value=2**31), None, "warp_labels", "labels"),
    "warp: an id with a fraction": warp(plain(value=1.5), None, "warp_labels", "labels"),
}
DOCUMENTS = {
    "empty": b"",
    "no JSON": b"volume",
    "cut off": json.dumps(nifti()).encode()[:-40],
    "no UTF-8": text(nifti(), b"b64", b"b\xff4"),
    "deep": b'{"inputs": {"moving": ' + b"[" * 50_000,
    "no base64": text(nifti(), b'"b64": "', b'"b64": "*?'),
    "number for base64": text(raw(), b'"uint16"', b'{"b64": 5}'),
    "list for a document": b"[1]",
    "unknown signature": {**nifti(), "signature_name": "register_dicom"},
    "long unknown signature": {**nifti(), "signature_name": "x" * 100_000},
    "signature is a number": {**nifti(), "signature_name": 7, "context": "x" * 5000},
    "long unknown input": {"signature_name": "register", "instances": [{"y" * 100_000: 1}]},
    "huge": b'{"inputs": "' + b"x" * (5 << 20) + b'"}',
}
REFUSED = {**NIFTI, **BYTES, **TENSORS, **DOCUMENTS}
ADDRESSES = {
    "unknown model": ("POST", "/v1/models/other:predict", 404),
    "unknown version": ("POST", "/v1/models/vxm/versions/9:predict", 404),
    "unknown label": ("POST", "/v1/models/vxm/labels/stable:predict", 400),
    "huge version": ("POST", f"/v1/models/vxm/versions/{'9' * 30}:predict", 400),
    "unknown action": ("POST", "/v1/models/vxm:register", 400),
    "long address": ("POST", "/v1/models/" + "x" * 20_000 + ":predict", 404),
    "classify": ("POST", "/v1/models/vxm:classify", 400),
    "regress": ("POST", "/v1/models/vxm:regress", 400),
    "get": ("GET", PREDICT, 400),
    "delete": ("DELETE", "/v1/models/vxm", 400),
    "put": ("PUT", PREDICT, 400),
    "no model": ("GET", "/v1/models", 400),
    "climbing": ("GET", "/v1/models/vxm/../../../etc/passwd", 400),
}
HEADERS = {
    "unknown encoding": ({"Content-Encoding": "br"}, b"{}", 415),
    "no gzip": ({"Content-Encoding": "gzip"}, b"{}", 400),
    "gzip bomb": ({"Content-Encoding": "gzip"}, gzip.compress(b" " * (20 << 20)), 413),
    "truncated gzip": ({"Content-Encoding": "gzip"}, gzip.compress(b"{}")[:-4], 400),
}
HEAD = b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(autouse=True)
def clean_keras():
    """In place of the one for all tests: seeding drops what TensorFlow has prepared of a graph, a second each time."""


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    keras.utils.set_random_seed(1)
    network = VxmDense((None,) * 3, features=((2,), (2,)), integration_steps=1)
    grid = {"shape": (16, 16, 16), "spacing_mm": (2.0, 2.0, 2.0), "orientation": "LIA"}
    network.metadata = {"normalization": "percentile", "grid": grid}
    export_saved_model(network, folder, warm_up=False)
    with RestServer([Model("vxm", folder)], port=0, limits=LIMITS) as server:
        yield server.port


def ask(port, body=None, method="POST", path=PREDICT, headers=()):
    """(status, JSON) of an answer."""
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        assert response.getheader("content-type") == "application/json"
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def registers(port):
    """Assert that a good request is answered."""
    status, answer = ask(port, nifti(ZIPPED))
    assert status == 200, answer
    moved = nibabel.Nifti1Image.from_bytes(base64.b64decode(answer["outputs"]["moved_bytes"]["b64"]))
    assert moved.shape == SHAPE and np.ptp(moved.get_fdata()) > 100


@pytest.fixture
def refuses(port):
    """refuses(...) asserts that a request gets a sentence, and that the server is well."""

    def check(*args, status=None, **kwargs):
        begun = time.monotonic()
        found, answer = ask(port, *args, **kwargs)
        assert time.monotonic() - begun < LIMITS.answer_seconds
        is_sentence(answer["error"])
        assert 400 <= found < 500 and status in (None, found), (found, answer)
        assert ask(port, method="GET", path="/v1/models/vxm")[0] == 200

    return check


def is_sentence(error):
    assert isinstance(error, str) and 0 < len(error) <= 2000
    assert not LEAKS.search(error), error


@pytest.fixture(scope="module", autouse=True)
def well_before_and_after(port):
    registers(port)
    yield
    registers(port)


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_body_is_refused_in_a_sentence(refuses, case):
    refuses(REFUSED[case])


def test_registrations_go_on(port):
    registers(port)


@pytest.mark.parametrize("case", ADDRESSES)
def test_a_hostile_address_is_refused_in_a_sentence(refuses, case):
    method, path, status = ADDRESSES[case]
    body = nifti() if method in ("POST", "PUT") else None
    refuses(body, method=method, path=path, status=status)


@pytest.mark.parametrize("case", HEADERS)
def test_a_hostile_encoding_is_refused_in_a_sentence(refuses, case):
    headers, body, status = HEADERS[case]
    refuses(body, headers=headers, status=status)


def test_a_slow_client_is_told(port):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"inputs"')
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    is_sentence(json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"])
    registers(port)


@pytest.mark.parametrize("rest", [b"Content-Length: 5000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", b""])
def test_uploads_that_break_off_are_forgotten(port, rest):
    for _ in range(8):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(HEAD + rest)
    time.sleep(0.1)
    registers(port)


@pytest.mark.parametrize(
    "request_text",
    [
        b"\x16\x03\x01\x02\0\x01\0",
        b"POST\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(port, request_text):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request_text)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400") and not LEAKS.search(answer.decode())
    registers(port)
