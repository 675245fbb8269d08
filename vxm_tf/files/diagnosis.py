"""Why a file cannot be read, in one sentence for each reason."""

import contextlib
import os
import zlib

_FETCH = "Fetch it: `git annex get` or `datalad get`."
_GZIP = b"\x1f\x8b"
# What a file of another kind begins with -> (what it is, extensions of files that are rightly of that kind).
_OTHER_KINDS: dict[bytes, tuple[str, tuple[str, ...]]] = {
    b"NRRD000": ("an NRRD file: let its name end in .nrrd.", (".nrrd", ".nhdr")),
    b"ObjectType": ("a MetaImage: let its name end in .mha.", (".mha", ".mhd")),
    b"\x89PNG": ("a picture (PNG), not a volume of numbers.", ()),
    b"\xff\xd8\xff": ("a picture (JPEG), not a volume of numbers.", ()),
    b"PK\x03\x04": ("a ZIP archive. Unpack it first.", (".npz",)),
}
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def absence(path: str | os.PathLike) -> str:
    """The reason why there is no file at a path, and what to do."""
    if not os.path.islink(path):
        return "there is no such file."
    target = os.readlink(os.fspath(path))
    if "annex" in target:
        return f"is a link to git-annex content that was not fetched. {_FETCH}"
    return f"is a link to {target}, which is not there. Fetch that file, or mend the link."


def stand_in(path: str | os.PathLike) -> str | None:
    """The content of a file that is no volume but stands in a volume's place, and what to do; None if none is known."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(1024)
    except OSError as error:
        return f"it cannot be opened ({error.strerror or error})."
    if not start:
        return "it is empty, with a size of 0 bytes. Copy or download it again."
    if start.startswith(_GZIP):
        start = _unpacked(start)
        if start.startswith(_GZIP):
            return "it is compressed twice. Unpack it once, by gunzip."
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the data. Fetch the data: `git lfs pull`."
    if len(start) < 1024 and b"annex/objects" in start:
        return f"it is a pointer of git-annex, not the data. {_FETCH}"
    if text.startswith(_WEB_PAGE):
        return "it is a web page, not the data: a browser or a script saved a login or error page. Download it again."
    if start[128:132] == b"DICM":
        return "it is a DICOM file. Convert the series first, for example by dcm2niix."
    if start[257:262] == b"ustar":
        return "it is a tar archive. Unpack it first."
    for head, (kind, own) in _OTHER_KINDS.items():
        if start.startswith(head) and not str(path).lower().endswith(own):
            return f"it is {kind}"
    return None


def _unpacked(start: bytes) -> bytes:
    """What the start of a gzip file holds; nothing where it is damaged."""
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(wbits=31).decompress(start, 1024)
    return b""


def failure(path: str | os.PathLike, error: Exception) -> str:
    """The reason why reading a file that exists ended in an error, and what to do."""
    reason = stand_in(path)
    if reason:
        return f"cannot be read: {reason}"
    if "intercept" in str(error) or "slope" in str(error):
        return (
            f"cannot be read: its header scales the voxels by numbers that are not finite ({error}). Correct scl_slope "
            "and scl_inter in the header, or export the file again."
        )
    return f"cannot be read ({type(error).__name__}: {error}). The file may be truncated or damaged; copy it again."
