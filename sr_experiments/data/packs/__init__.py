"""Packs: all pixels of a folder decoded once into one memory-mapped file."""
