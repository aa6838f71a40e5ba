"""The files that `sr init` creates, and how it creates them."""
