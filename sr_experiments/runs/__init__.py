"""A run's folder on disk: its name, its lock, its state, and how it is read back."""
