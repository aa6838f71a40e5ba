"""Post-training quantisation to int8, for inference on CPUs."""
