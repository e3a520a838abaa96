"""Fuzzing readers of streams: targets, the search for inputs on which they fail, and what is told of those.

Needs the extra "fuzz" (Hypothesis).  Nothing outside this package and its command imports it.
"""
