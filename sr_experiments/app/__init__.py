"""The local page on which images and videos are upscaled."""
