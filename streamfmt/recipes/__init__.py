"""The language of recipes, read and written: a few lines of TOML that say what stream to make."""
