"""What identifies a file's content."""

import hashlib


def sha256_of(path) -> str:
    """The SHA-256 of a file, `sha256:` and 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
