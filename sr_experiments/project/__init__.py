"""What sr init lays out, and how."""
