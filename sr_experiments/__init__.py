"""Train, compare and use image and video super-resolution networks."""

__version__ = "0.1.0"
