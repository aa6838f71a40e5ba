"""Pictures and clips embedded in the page as data URIs: each once, up to a total size."""

import base64
import hashlib
import io

import numpy as np
from PIL import Image


class Media:
    """A list of data URIs without duplicates, up to a total size of `most` bytes."""

    def __init__(self, most: int) -> None:
        self.uris: list[str] = []  # the page refers to them by index
        self.left_out = 0  # number of files that did not fit
        self._room = most
        self._places: dict[bytes, int] = {}  # index by digest of the file

    def add(self, content: bytes, kind: str) -> int | None:
        """Add a file of media type `kind` unless it is there; return its index, or None if it does not fit."""
        digest = hashlib.sha256(content).digest()
        if digest not in self._places:
            uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
            if len(uri) > self._room:
                self.left_out += 1
                return None
            self._room -= len(uri)
            self._places[digest] = len(self.uris)
            self.uris.append(uri)
        return self._places[digest]

    def add_picture(self, pixels: np.ndarray) -> int | None:
        """Add a picture, uint8 (H, W, 3), as PNG; return its index, or None if it does not fit."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        return self.add(file.getvalue(), "image/png")
