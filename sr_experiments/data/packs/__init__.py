"""Packs: the images and videos of a folder, decoded once into one memory-mapped file."""
