"""Comparison of runs: the HTML page, the table on the terminal, JSON."""
