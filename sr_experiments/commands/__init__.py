"""The commands of `sr`, one a file: options and their help; the work is done elsewhere."""
