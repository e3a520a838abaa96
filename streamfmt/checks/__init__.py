"""Judging streams: clauses become findings, findings a verdict.

``verifier`` listens to the reader; ``libxc``, ``pages``, ``hvm`` and ``libxl`` hold the checks that a table cannot
express; ``findings`` is what comes out; ``report`` puts it into words.  The rules themselves are in spec/clauses.
"""
