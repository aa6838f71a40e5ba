"""What runs have left, side by side: a page to open, a table to print, a list to watch."""
