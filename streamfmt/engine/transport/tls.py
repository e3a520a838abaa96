"""TLS over a connected socket, with certificates on both sides, by the ssl module.

Each side shows a certificate and asks for one; both have to come from the same authority, and the receiver's has to
name the host that the sender connects to.  With TLS 1.3 the sender's handshake ends before the receiver has looked at
the sender's certificate (RFC 8446, 4.4.2.4 and 6.2): a refusal comes as an alert to the first read, or shows in a write
that fails, and is an error of the link there, in the same words.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from ...codec.content import Buffer
from ...errors import LateError, LinkError
from ..waiting import READ, WRITE, Waiter
from .moving import part
from .sockets import SocketEnd

# Bytes that are given to TLS together: pages are smaller than its records of 16 KiB.
_CHUNK = 64 << 10
# What is received in one call, at most, in as many records.
_GULP = 256 << 10
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

    def connected(self, end: SocketEnd, host: str, waiter: Waiter, deadline: float | None) -> TlsEnd:
        """The sender's end, once the receiver has shown a certificate for its host.

        :raises LinkError: it does not fit, or the receiver does not speak TLS; the end is closed then.
        :raises LateError: it says nothing.
        """
        try:
            context = self._context(server=False)
            sock = context.wrap_socket(
                end.socket,
                server_hostname=self.host or host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        except (LinkError, OSError, ValueError) as error:
            end.close()
            raise LinkError(f"{end.name}: {error}") from error
        return _agreed(sock, f"{end.name} with TLS", "the receiver", self.certificate, waiter, deadline)

    def accepted(self, end: SocketEnd, waiter: Waiter, deadline: float | None) -> TlsEnd:
        """The receiver's end, once the sender has shown a certificate.

        :raises LinkError: it does not fit, or the sender does not speak TLS; the end is closed then.
        :raises LateError: it says nothing.
        """
        try:
            context = self._context(server=True)
            sock = context.wrap_socket(
                end.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except (LinkError, OSError, ValueError) as error:
            end.close()
            raise LinkError(f"{end.name}: {error}") from error
        return _agreed(sock, f"{end.name} with TLS", "the sender", self.certificate, waiter, deadline)

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


def _agreed(sock: ssl.SSLSocket, name: str, who: str, shown: str, waiter: Waiter, deadline: float | None) -> TlsEnd:
    """Shake hands; returns the end."""
    end = TlsEnd(sock, name, shown)
    late = f"{name}: {who} did not finish the handshake in time; does it speak TLS?"
    try:
        while True:
            try:
                sock.do_handshake()
                return end
            except ssl.SSLWantReadError:
                waiter.until(sock.fileno(), READ, deadline, late)
            except ssl.SSLWantWriteError:
                waiter.until(sock.fileno(), WRITE, deadline, late)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        _leave(sock, name, waiter)
        raise LinkError(f"{name}: the certificate of {who} does not fit: {why}") from error
    except OSError as error:
        _leave(sock, name, waiter)
        raise LinkError(f"{name}: {meaning(error, shown)}") from error
    except (LateError, KeyboardInterrupt):
        end.close()
        raise


def _leave(sock: ssl.SSLSocket, name: str, waiter: Waiter) -> None:
    """Go in order, so that the alert arrives which says what was wrong."""
    part(SocketEnd(socket.socket(fileno=sock.detach()), name), waiter, 0.5)


def meaning(error: OSError, shown: str) -> str:
    """What an error of TLS says, in words; `shown` is the file of the certificate that the other side saw."""
    reason = str(getattr(error, "reason", None) or "")
    if isinstance(error, ssl.SSLEOFError):
        reason = "UNEXPECTED_EOF_WHILE_READING"
    for prefix in _ALERTS:
        reason = reason.removeprefix(prefix)
    if reason in _THEIRS:
        return f"the other side refuses our certificate, {shown}: {_THEIRS[reason]}"
    return _ELSE.get(reason) or f"TLS failed: {reason.replace('_', ' ').lower() or error.strerror or error}"


class TlsEnd:
    """One end of a connection of TLS.

    What send() is given and does not take has to be given again, from its first byte on: a record that did not fit
    whole is sent on with the next call.
    """

    def __init__(self, sock: ssl.SSLSocket, name: str, shown: str) -> None:
        self.name = name
        self.socket = sock
        self._shown = shown
        # Of what was given to send(): what TLS has not taken, and how many bytes it took that send() did not return.
        self._held = memoryview(b"")
        self._ahead = 0
        self._error: LinkError | None = None
        self._writable: select.epoll | None = None
        self._wants_write = False

    def __repr__(self) -> str:
        return f"<TlsEnd {self.name}>"

    def fileno(self) -> int:
        """The socket; or what is readable when that is writable, while TLS has to answer before it can read on."""
        if not self._wants_write:
            return self.socket.fileno()
        if self._writable is None:
            self._writable = select.epoll()
            self._writable.register(self.socket.fileno(), select.EPOLLOUT)
        return self._writable.fileno()

    def output(self) -> int:
        return self.socket.fileno()

    def receive_into(self, buffer: memoryview) -> int:
        """As End says.  It takes several records together, and none of them is left here without being asked for."""
        got, size = 0, min(len(buffer), _GULP)
        self._wants_write = False
        if self._error is not None:
            raise self._error
        while got < size:
            try:
                count = self.socket.recv_into(buffer[got:size])
            except ssl.SSLWantReadError:
                break
            except ssl.SSLWantWriteError:
                self._wants_write = True
                break
            except ssl.SSLZeroReturnError:
                return got
            except OSError as error:
                self._error = LinkError(f"{self.name}: {meaning(error, self._shown)}")
                if not got:
                    raise self._error from error
                return got
            if not count:
                return got
            got += count
        if got or not size:
            return got
        raise BlockingIOError

    def send(self, buffers: Sequence[Buffer]) -> int:
        total = sum(map(len, buffers))
        if not self._held and not self._ahead:
            self._held = memoryview(_chunk(buffers))
        while self._held and self._ahead < total:
            try:
                count = self.socket.send(self._held)
            except ssl.SSLWantWriteError:
                break
            except OSError as error:
                raise self._failed(error) from error
            self._held = self._held[count:]
            self._ahead += count
        sent = min(self._ahead, total)
        self._ahead -= sent
        if not sent and total:
            raise BlockingIOError
        return sent

    def _failed(self, error: OSError) -> LinkError:
        """Why nothing can be sent: the alert that came before, if one did, says more than the system."""
        try:
            while self.socket.recv_into(memoryview(bytearray(_CHUNK))):
                pass
        except ssl.SSLWantReadError:
            pass
        except OSError as alert:
            if isinstance(alert, ssl.SSLError) and not isinstance(alert, ssl.SSLEOFError):
                error = alert
        return LinkError(f"{self.name}: {meaning(error, self._shown)}")

    def finish(self) -> None:
        try:
            self.socket.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ValueError):
            pass  # the other side has not finished, or this one had
        except OSError as error:
            # That the other side still sends is no error; a refusal that came meanwhile would not come again.
            if getattr(error, "reason", "") != "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
                self._error = self._error or LinkError(f"{self.name}: {meaning(error, self._shown)}")

    def close(self) -> None:
        try:
            if self._writable is not None:
                self._writable.close()
            self.socket.close()
        except OSError:
            pass  # the system has freed it in any case


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
