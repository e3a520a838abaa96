"""Fuzzing readers of streams: targets, the search for inputs on which they fail, and the reports on those.

Needs the extra "fuzz" (Hypothesis).  Nothing outside this package and its command imports it.
"""
