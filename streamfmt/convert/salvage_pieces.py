"""What is written of a salvaged file: stretches of it, and bytes of ours between them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..io.spliced import Splice

    # A stretch of the file, or bytes of ours.
    Piece = tuple[int, int] | bytes


class Pieces:
    """Pieces in the order of the output, in which stretches of the file keep their order."""

    def __init__(self) -> None:
        self.rows: list[Piece] = []

    @property
    def copied(self) -> bool:
        """Whether there is anything of the file in it."""
        return any(not isinstance(piece, bytes) for piece in self.rows)

    def copy(self, start: int, stop: int) -> None:
        """A stretch of the file next."""
        if start < stop:
            self.rows.append((start, stop))

    def put(self, data: bytes) -> None:
        """Bytes of ours next."""
        self.rows.append(data)

    def drop(self, start: int, stop: int) -> None:
        """Leave out bytes of the output, by their offsets in it."""
        rows: list[Piece] = []
        at = 0
        for piece in self.rows:
            size = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            first, last = min(max(start - at, 0), size), min(max(stop - at, 0), size)
            for low, high in ((0, first), (last, size)) if first < last else ((0, size),):
                if low < high:
                    rows.append(piece[low:high] if isinstance(piece, bytes) else (piece[0] + low, piece[0] + high))
            at += size
        self.rows = rows

    def replace(self, start: int, stop: int, data: bytes) -> bool:
        """Put bytes of ours into the place of some of the file's, by their offsets in that; whether they are copied."""
        for number, piece in enumerate(self.rows):
            if not isinstance(piece, bytes) and piece[0] <= start and stop <= piece[1]:
                rows: list[Piece] = [(piece[0], start), data, (stop, piece[1])]
                self.rows[number : number + 1] = [row for row in rows if isinstance(row, bytes) or row[0] < row[1]]
                return True
        return False

    def splices(self, size: int) -> list[Splice]:
        """What is to become of the file, of `size` bytes, as changes of it."""
        found: list[Splice] = []
        at, data = 0, b""
        for piece in self.rows:
            if isinstance(piece, bytes):
                data += piece
                continue
            if piece[0] > at or data:
                found.append((at, piece[0], data))
            at, data = piece[1], b""
        if at < size or data:
            found.append((at, size, data))
        return found
