"""Networks for other programs. Every file is loaded again in its own runtime and compared before it gets its name."""
