"""A link that is cut after some bytes, both ways at once, as a cable is."""

from __future__ import annotations

import socket
import threading


class Cut:
    """Stands between two sockets: it is cut after `at` bytes of what the first sends, or of what it gets (`back`)."""

    def __init__(self, at: int, back: bool = False) -> None:
        self._limits = (1 << 60, at) if back else (at, 1 << 60)
        self._threads: list[threading.Thread] = []

    def __call__(self, here: socket.socket, there: socket.socket) -> tuple[socket.socket, socket.socket]:
        near, far = socket.socketpair(), socket.socketpair()
        for each in (here, there):
            each.close()
        ways = ((near[1], far[0]), (far[0], near[1]))
        for (source, target), limit in zip(ways, self._limits, strict=True):
            thread = threading.Thread(target=self._pass, args=(source, target, limit), daemon=True)
            thread.start()
            self._threads.append(thread)
        self._ends = near[1], far[0]
        return near[0], far[1]

    def close(self) -> None:
        """Both sides have closed their ends: leave nothing."""
        for thread in self._threads:
            thread.join(20)
        for each in self._ends:
            each.close()

    def _pass(self, source: socket.socket, target: socket.socket, limit: int) -> None:
        left = limit
        try:
            while left and (data := source.recv(min(left, 1 << 16))):
                target.sendall(data)
                left -= len(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
