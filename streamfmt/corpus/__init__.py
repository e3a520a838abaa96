"""The corpus: streams from recipes and from real software, an index of what they are, and what readers do with them."""
