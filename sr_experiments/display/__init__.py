"""What people see: the terminal, log messages, pictures."""
