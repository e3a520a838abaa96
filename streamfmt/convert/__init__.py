"""Streams changed on their way: parts taken out, fields changed, wrappers exchanged, old versions made new ones."""
