"""Read checkpoints of SR networks safely, build their networks, and initialise others with their weights."""
