"""Readers that are not ours: commands and functions as targets, and what Xen's own readers do by the clauses."""
