"""Callbacks: what happens around the training steps, one idea per file."""
