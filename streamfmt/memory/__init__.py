"""A guest's memory, as the images of a stream have it: which frames there are, and where the content of each lies."""

# The kinds of files that memory is written to, which memory.shapes makes.
RAW, ELF, LIME = KINDS = ("raw", "elf", "lime")
