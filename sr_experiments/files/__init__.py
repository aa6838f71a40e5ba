"""Files on disk: walk over folders, write atomically, cache."""
