"""What can be moved: guests of several kinds behind one interface, :class:`streamfmt.engine.interface.Guest`."""
