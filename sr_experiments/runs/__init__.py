"""Run folders on disk: creating, locking, reading and listing them."""
