"""Where metrics and checkpoints of a run are logged: metrics.csv, TensorBoard, Weights & Biases."""
