"""Upscale a video: decode, super-resolve and encode at the same time."""
