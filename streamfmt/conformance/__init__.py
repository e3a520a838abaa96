"""Somebody's reader as a target: a command or a Python function, what it did with a stream, and nothing left of it."""
