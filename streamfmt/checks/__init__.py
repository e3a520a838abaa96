"""Judging streams: clauses become findings, findings a verdict.

``verifier`` listens to the reader; ``libxc``, ``page_data``, ``hvm`` and ``libxl`` hold the checks that a table
cannot express; ``findings`` is what comes out; ``outcome`` puts it into words.  The rules are in spec/clauses.
"""
