"""Bytes in and out: files, pipes, memory and compressed input for the reader; outputs that appear when complete."""
