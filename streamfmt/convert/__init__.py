"""Streams changed on their way: parts taken out, fields changed, wrappers exchanged, old forms turned into new ones."""
