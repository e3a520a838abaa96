"""The reference migration engine: a running guest moves between two processes, on streams of this project.

`guest` has what can be moved, `logdirty` how its changed frames are known, `transport` what bytes go through; savers
and restorers are the state machines of libxl, and the policies of the loop are functions of figures alone, so that a
plan runs the same ones without moving a byte.
"""
