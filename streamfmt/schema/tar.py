"""Members of a tar archive: where the fields of a header lie, and what its types are.

Source: POSIX.1-2001 ustar and pax interchange formats; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
Nothing of construct is here: every member of an archive is read by these places.
"""

from __future__ import annotations

BLOCK = 512
NAME = slice(0, 100)
SIZE = slice(124, 136)
SUM = slice(148, 156)
TYPE = slice(156, 157)
USTAR, USTAR_MAGIC = slice(257, 263), b"ustar\0"
PREFIX = slice(345, 500)
# Links, devices, folders and FIFOs: their size is not that of any content.  What has a type that is none of those here
# is a regular member.
EMPTY = (b"1", b"2", b"3", b"4", b"5", b"6")
# GNU's: the content is a name for the next member, or the target of its link.
LONG_NAME, LONG_LINK = b"L", b"K"
# POSIX: the content is attributes of the next member, or of all that follow.
PAX, PAX_GLOBAL = b"x", b"g"
# GNU's old form of files with holes: pairs of numbers in the header and in blocks after it, until one says 0; and the
# size of the whole.
SPARSE = b"S"
SPARSE_NUMBER = 12
SPARSE_PAIRS, SPARSE_MORE, SPARSE_SIZE = slice(386, 482), 482, slice(483, 495)
SPARSE_NEXT_PAIRS, SPARSE_NEXT_MORE = slice(0, 504), 504


def sum_fits(block: bytes) -> bool:
    """Whether the sum of a header's bytes, those of the sum itself taken for blanks, is what it says in octal."""
    try:
        said = int(block[SUM].rstrip(b" \0"), 8)
    except ValueError:
        return False
    return len(block) >= BLOCK and sum(block[:BLOCK]) - sum(block[SUM]) + 8 * ord(" ") == said
