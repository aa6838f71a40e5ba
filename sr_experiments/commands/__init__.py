"""The commands of `sr`: their options and help. What they run is imported from other packages when they run."""
