"""`hydra/sweeper=optuna`: a search over settings, its study on disk, its results."""
