"""Checksums of files."""

import hashlib
import os


def sha256_of(path: str | os.PathLike) -> str:
    """The SHA-256 checksum of a file as `sha256:` and 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
