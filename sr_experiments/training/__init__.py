"""Training: the LightningModules, the run itself and its callbacks."""
