"""Reading streams without doing I/O: a window of bytes, and the layers that walk it; the drivers are in ``io``.

``pump`` has the window on what has arrived, and runs a layer until it wants more, ``libxl`` and ``libxc`` are the
layers, ``identify`` says which one a stream needs.
Everything here imports only the standard library, and little of that.
"""
