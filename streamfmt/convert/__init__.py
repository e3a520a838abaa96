"""Converting streams: from legacy to new, from old versions to newer, and mending what released writers got wrong."""
