"""Benchmarks: ``python -m streamfmt.bench`` measures this project against its budgets, in whole processes.

``generate`` writes the sample streams, ``run`` times commands on them in pairs.  Neither is in the wheel.
"""
