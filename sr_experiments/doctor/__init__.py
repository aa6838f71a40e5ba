"""Checks of a training configuration before it costs a night."""
