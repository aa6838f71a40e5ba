"""Sweeps: launchers and sweepers of `python train.py -m`, and the table of their results."""
