"""How records name an image."""

import hashlib


def rgb_hash(width: int, height: int, pixels: bytes) -> str:
    """SHA-256 (hex) over the size and the RGB bytes, row by row."""
    digest = hashlib.sha256(f"{width}x{height}".encode())
    digest.update(pixels)
    return digest.hexdigest()
