"""Continuous checkpoints: a guest that runs here, and a standby that has its last complete state.

Shared by all forms of it: :mod:`.devices` (what a guest's output and disk do at each checkpoint), :mod:`.epochs` (the
figures), :mod:`.witness` (who may go on when the link fails), :mod:`.saving` and :mod:`.restoring` (a stream whose
image has checkpoints).  Remus is :mod:`.primary` and :mod:`.standby`.
"""
