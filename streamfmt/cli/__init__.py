"""The command line: one module per verb, found through ``main.VERBS``.

Only commands import this: it changes how their process collects garbage.
"""

import gc

# Objects made before garbage is looked for, against Python's 700.  Loading modules leaves none, and looking for it that
# often costs a small stream a twentieth of its time.
gc.set_threshold(50_000)
