"""COLO: a guest that runs on two sides at once, and is made the same again whenever its outputs differ.

:mod:`.primary` and :mod:`.secondary` work by the tables of :mod:`streamfmt.schema.colo`; :mod:`.messages` is what they
say to each other, :mod:`.party` what both have, :mod:`.restoring` how the secondary reads the stream, and
:mod:`.compared` what compares the outputs.
"""
