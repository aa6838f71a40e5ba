"""Image file formats: what a file holds, upright and over the whole range of its type, and what is said about it."""
