"""A run's configuration: composed by Hydra, resolved to plain data, checked."""
