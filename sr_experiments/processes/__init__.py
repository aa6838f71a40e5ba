"""Processes: how they wait, how they end, programs that run in one of their own."""
