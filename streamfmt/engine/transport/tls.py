"""TLS over a connected socket, with certificates on both sides, by the ssl module.

Each side shows a certificate and asks for one; both have to come from the same authority, and the receiver's has to
name the host that the sender connects to.  With TLS 1.3 the sender's handshake ends before the receiver has looked at
the sender's certificate (RFC 8446, 4.4.2.4 and 6.2): a refusal comes as an alert to the first read, or shows in a write
that fails, and is an error of the link there, in the same words.
"""

from __future__ import annotations

import os
import select
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from ...codec.content import Buffer
from ...errors import LinkError
from ..interface import End
from ..waiting import READ, WRITE, Waiter
from .moving import part

# Bytes that are given to TLS together: pages are smaller than its records of 16 KiB.
_CHUNK = 64 << 10
# What is received in one call, at most.
_GULP = 256 << 10
# Seconds that the other side gets to read why the handshake failed.
_PARTING = 0.5
# An alert before any handshake, in the clear: record type 21, version 3.3, length 2; fatal (2), access denied (49).
_DENIED = bytes((21, 3, 3, 0, 2, 2, 49))
# By what OpenSSL calls an alert of the other side or a form it does not know: what that means, and what to do.
_THEIRS = {
    "UNKNOWN_CA": "its authority does not know ours: give both sides certificates of one authority",
    "BAD_CERTIFICATE": "it does not fit there",
    "CERTIFICATE_EXPIRED": "it has expired",
    "CERTIFICATE_REVOKED": "it was revoked",
    "CERTIFICATE_UNKNOWN": "it does not fit there",
    "UNSUPPORTED_CERTIFICATE": "it is not for this use",
    "CERTIFICATE_REQUIRED": "it asks for one, and got none",
    "DECRYPT_ERROR": "it and its key do not belong together",
}
_ELSE = {
    "ACCESS_DENIED": "the receiver has a sender already, or does not want this one",
    "WRONG_VERSION_NUMBER": "the other side does not speak TLS",
    "HTTP_REQUEST": "the other side does not speak TLS, but HTTP",
    "UNSUPPORTED_PROTOCOL": "the other side speaks too old a version of TLS",
    "PROTOCOL_VERSION": "the other side finds our version of TLS too old or too new",
    "HANDSHAKE_FAILURE": "the other side has no cipher in common with ours",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the other side shows no certificate, and one is asked for",
    "UNEXPECTED_EOF_WHILE_READING": "the link was cut: TLS says when a side has finished, and this one has not",
    "RECORD_LAYER_FAILURE": "the other side does not speak TLS",
}
_ALERTS = ("TLSV13_ALERT_", "TLSV1_ALERT_", "SSLV3_ALERT_")


@dataclass(frozen=True, slots=True)
class Tls:
    """What one side shows and trusts: files in PEM form.  `host` is the receiver's name, if its address has another."""

    certificate: str
    key: str
    authority: str
    host: str = ""

    # What one gets who comes second.
    refusal = _DENIED

    def check(self) -> None:
        """See whether the files are there and fit each other.

        :raises LinkError: one is not, or they do not.
        """
        self._context(server=True)

    def connected(self, end: End, host: str, waiter: Waiter, deadline: float | None) -> TlsEnd:
        """The sender's end, once the receiver has shown a certificate for its host.

        :raises LinkError: it does not fit, or the receiver does not speak TLS; the end is closed then.
        :raises LateError: it says nothing.
        """
        return self._agreed(end, self.host or host, "the receiver", waiter, deadline)

    def accepted(self, end: End, waiter: Waiter, deadline: float | None) -> TlsEnd:
        """The receiver's end, once the sender has shown a certificate.

        :raises LinkError: it does not fit, or the sender does not speak TLS; the end is closed then.
        :raises LateError: it says nothing.
        """
        return self._agreed(end, None, "the sender", waiter, deadline)

    def _agreed(self, end: End, host: str | None, who: str, waiter: Waiter, deadline: float | None) -> TlsEnd:
        """Shake hands: as the sender, who knows the host, or as the receiver."""
        name = getattr(end, "name", "the link")
        late = f"{name}: {who} did not finish the handshake in time; does it speak TLS?"
        try:
            made = TlsEnd(end, self._context(host is None), host, self.certificate)
            made.shake(waiter, deadline, late)
        except ssl.SSLCertVerificationError as error:
            part(end, waiter, _PARTING)
            why = error.verify_message.rstrip(".")
            raise LinkError(f"{name}: the certificate of {who} does not fit: {why}") from error
        except ssl.SSLEOFError as error:
            end.close()
            raise LinkError(f"{name}: {who} ended the link within the handshake; does it speak TLS?") from error
        except (OSError, ValueError) as error:
            part(end, waiter, _PARTING)
            raise LinkError(f"{name}: {meaning(error, self.certificate)}") from error
        except BaseException:
            end.close()
            raise
        return made

    def _context(self, server: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        if server:
            context.num_tickets = 0  # nobody comes back; unread, they would turn a close into a reset
        for path, what in ((self.certificate, "certificate"), (self.key, "key"), (self.authority, "authority")):
            if not os.access(path, os.R_OK):
                missing = "cannot be read" if os.path.exists(path) else "does not exist"
                raise LinkError(f"the {what} for TLS, {path}, {missing}")
        try:
            context.load_cert_chain(self.certificate, self.key, _no_password)
        except (OSError, ValueError) as error:
            raise LinkError(f"{self.certificate} and {self.key}: {_unfit(error)}") from error
        try:
            context.load_verify_locations(self.authority)
        except (OSError, ValueError) as error:
            raise LinkError(f"{self.authority}: no certificate of an authority in PEM form") from error
        return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; give one that is not, readable by this user alone")


def _unfit(error: Exception) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return str(error) if isinstance(error, ValueError) else "no certificate and key in PEM form"


def meaning(error: Exception, shown: str) -> str:
    """What an error of TLS says, in words; `shown` is the file of the certificate that the other side saw."""
    reason = str(getattr(error, "reason", None) or "")
    if isinstance(error, ssl.SSLEOFError):
        reason = "UNEXPECTED_EOF_WHILE_READING"
    for prefix in _ALERTS:
        reason = reason.removeprefix(prefix)
    if reason in _THEIRS:
        return f"the other side refuses our certificate, {shown}: {_THEIRS[reason]}"
    return _ELSE.get(reason) or f"TLS failed: {reason.replace('_', ' ').lower() or error}"


class TlsEnd:
    """One end of a connection of TLS over another end, which it owns.

    What send() is given and does not take has to be given again, from its first byte on: it may be on its way already.
    """

    def __init__(self, end: End, context: ssl.SSLContext, host: str | None, shown: str) -> None:
        self.name = f"{getattr(end, 'name', 'the link')} with TLS"
        self._end = end
        self._shown = shown
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, host is None, host)
        self._room = memoryview(bytearray(_GULP))
        self._early = memoryview(b"")  # what was read before it was asked for
        self._error: LinkError | None = None
        # Records that have not gone, and how many bytes of what send() was given are in them.
        self._records = memoryview(b"")
        self._ahead = 0
        self._finished = self._all_read = False
        self._either: select.epoll | None = None

    def __repr__(self) -> str:
        return f"<TlsEnd {self.name}>"

    def fileno(self) -> int:
        """What is readable when receive_into() has something to do: to send what TLS itself has to say, too."""
        if not self._records or self._ahead:
            return self._end.fileno()
        if self._either is None:
            self._either = select.epoll()
            self._either.register(self._end.fileno())
        self._either.modify(self._end.fileno(), select.EPOLLOUT | (0 if self._all_read else select.EPOLLIN))
        return self._either.fileno()

    def output(self) -> int:
        return self._end.output()

    def shake(self, waiter: Waiter, deadline: float | None, late: str) -> None:
        """Shake hands.

        :raises OSError: it failed; what there is to say about it has been sent.
        :raises LateError: it was not done by the deadline; `late` says so.
        :raises LinkError: the link failed.
        """
        while True:
            error: OSError | None = None
            try:
                self._tls.do_handshake()
            except OSError as failure:
                error = failure
            while not self._flushed():
                waiter.until(self.output(), WRITE, deadline, late)
            if error is None:
                return
            if not isinstance(error, ssl.SSLWantReadError):
                raise error
            while not self._fed():
                waiter.until(self._end.fileno(), READ, deadline, late)

    def _fed(self) -> bool:
        """Give TLS what has come, or the end; whether anything had."""
        try:
            got = self._end.receive_into(self._room)
        except BlockingIOError:
            return False
        if got:
            self._incoming.write(self._room[:got])
        else:
            self._incoming.write_eof()
        return True

    def _flushed(self) -> bool:
        """Whether all records have gone, after trying."""
        while self._records or self._outgoing.pending:
            self._records = self._records or memoryview(self._outgoing.read())
            try:
                self._records = self._records[self._end.send([self._records]) :]
            except BlockingIOError:
                return False
        if self._finished:
            self._end.finish()
        return True

    def receive_into(self, buffer: memoryview) -> int:
        """As End says.  Bytes that have come and did not fit are here, not there: ask first, and wait only then."""
        if self._early:
            got = min(len(self._early), len(buffer))
            buffer[:got], self._early = self._early[:got], self._early[got:]
            return got
        if self._error is not None:
            raise self._error
        if not self._ahead:
            self._say()
        got = 0
        while got < len(buffer):
            try:
                count = self._read(buffer[got:])
                if not count:
                    break
                got += count
            except ssl.SSLWantReadError:
                if got:
                    break
                if not self._fed():
                    raise BlockingIOError from None
            except OSError as error:
                self._error = LinkError(f"{self.name}: {meaning(error, self._shown)}")
                if not got:
                    raise self._error from error
                break
        self._all_read = not got and len(buffer) > 0
        if self._all_read and self._records and not self._ahead:
            raise BlockingIOError  # who reads no more closes; but the other side waits to hear that this one has ended
        return got

    def _read(self, buffer: memoryview) -> int:
        """Some bytes, or 0 at the end."""
        try:
            got: object = self._tls.read(len(buffer), buffer)
        except ssl.SSLZeroReturnError:
            return 0  # as it is called once both sides have finished
        assert isinstance(got, int), "it is a number where there is a buffer, though its type does not say so"
        return got

    def _say(self) -> None:
        """Send what TLS itself has to say, as far as that goes."""
        try:
            self._flushed()
        except LinkError:
            self._records = memoryview(b"")  # nobody hears it; what came before can still be read

    def send(self, buffers: Sequence[Buffer]) -> int:
        total = sum(map(len, buffers))
        try:
            if not self._ahead and self._flushed():
                chunk = memoryview(_chunk(buffers))
                while self._ahead < len(chunk):
                    self._ahead += self._tls.write(chunk[self._ahead :])
            gone = self._flushed()
        except (OSError, LinkError) as error:
            raise self._failed(error) from error
        if not gone:
            raise BlockingIOError
        sent = min(self._ahead, total)
        self._ahead -= sent
        return sent

    def _failed(self, error: OSError | LinkError) -> LinkError:
        """Why nothing can be sent: an alert that came before says more than the system."""
        room = memoryview(bytearray(_CHUNK))
        self._records = memoryview(b"")
        try:
            while self.receive_into(room):
                pass
        except BlockingIOError:
            pass
        except LinkError as alert:
            return alert
        return error if isinstance(error, LinkError) else LinkError(f"{self.name}: {meaning(error, self._shown)}")

    def finish(self) -> None:
        """As End says.  What has come is kept away from TLS meanwhile: it would take it for the other side's end."""
        if self._finished:
            return
        self._finished = True
        try:
            if pending := self._tls.pending():
                room = bytearray(pending)
                del room[self._read(memoryview(room)) :]
                self._early = memoryview(bytes(self._early) + room)
            kept = self._incoming.read()
            try:
                self._tls.unwrap()
            except ssl.SSLWantReadError:
                pass  # the other side has not finished
            finally:
                if kept:
                    self._incoming.write(kept)
        except (OSError, ValueError):
            self._end.finish()  # TLS has failed before
        self._say()

    def close(self) -> None:
        if self._either is not None:
            self._either.close()
            self._either = None
        self._end.close()


def _chunk(buffers: Sequence[Buffer]) -> bytes:
    """The first bytes of these, as many as are worth a call."""
    some: list[Buffer] = []
    left = _CHUNK
    for buffer in buffers:
        some.append(buffer if len(buffer) <= left else memoryview(buffer)[:left])
        left -= len(buffer)
        if left <= 0:
            break
    return b"".join(some)
