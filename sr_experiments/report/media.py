"""Pictures and clips inside the page: each once, and together not larger than wished."""

import base64
import hashlib
import io

import numpy as np
from PIL import Image

ERROR_RANGE = 64  # mean difference of the channels, in levels of 255, that is shown as the brightest


class Media:
    """Collects data URIs.

    Attributes:
        uris: what the page has; the others hold places in it.
        left_out: how many had no room.

    Args:
        most: bytes in all.
    """

    def __init__(self, most: int) -> None:
        self.uris: list[str] = []
        self.left_out = 0
        self._room = most
        self._places: dict[bytes, int] = {}

    def add(self, content: bytes, kind: str) -> int | None:
        """The place of a file in the page; None if there is no room for it.

        Args:
            content: of the file.
            kind: its media type.
        """
        digest = hashlib.sha256(content).digest()
        if digest in self._places:
            return self._places[digest]
        uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        if len(uri) > self._room:
            self.left_out += 1
            return None
        self._room -= len(uri)
        self.uris.append(uri)
        self._places[digest] = len(self.uris) - 1
        return self._places[digest]

    def add_picture(self, pixels: np.ndarray) -> int | None:
        """The same of a picture, uint8 (H, W, 3)."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        return self.add(file.getvalue(), "image/png")


def error_map(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Mean absolute difference of the channels as colours, black to bright; uint8 (H, W, 3), all three."""
    import cv2

    levels = np.abs(sr.astype(np.int16) - hr).mean(axis=2) * (255 / ERROR_RANGE)
    return cv2.applyColorMap(levels.clip(0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1].copy()
