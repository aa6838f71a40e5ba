"""The commands of `sr`, one per file: their options and help. What they run is imported from other packages."""
