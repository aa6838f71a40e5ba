"""Weights of networks that others trained, for perceptual losses and metrics: what there is, and how it is fetched."""
