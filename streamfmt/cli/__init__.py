"""The command line: one module per verb, found through ``main.VERBS``."""
