"""Reading streams without doing I/O: a window of octets, the layers that walk it, and the thin drivers around.

``window`` holds what has arrived, ``pump`` runs a layer until it wants more, ``libxl`` and ``libxc`` are the
layers, ``identify`` says which one a stream needs, ``sources`` brings octets from files, pipes and memory.
Everything here imports only the standard library, and little of that.
"""
