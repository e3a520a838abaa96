"""The saver's side of the commands in xenstore: `cmd` says "enable" or "disable", and `ret` the same once it is so.

In 4.0 xend's saver waited for the answer; the first toolstacks with libxl did not.  Since 4.2 the command is given in
a transaction, one that nobody has answered yet is an error, and both nodes are removed in the end.
"""

from __future__ import annotations

from contextlib import suppress

from ...errors import LateError, MigrationError, PeerError
from ..waiting import Waiter
from ..xenstore.client import Client
from .forms import ANSWER_TOKEN, CMD, COMMANDS, RET, Form


def answered(form: Form, store: Client, domain: int, on: bool) -> bool:
    """Whether the emulator has obeyed by now, without waiting for it.

    :raises LinkError: xenstore is gone.
    """
    return store.find(f"{form.area.format(domain=domain)}/{RET}") == COMMANDS[on]


def command(form: Form, store: Client, domain: int, on: bool, waiter: Waiter) -> None:
    """Have the emulator of a domain begin or end to report what it writes.

    :raises LateError: it does not answer in time.
    :raises PeerError: it answers something else, or has not answered an earlier command.
    """
    area = form.area.format(domain=domain)
    cmd, ret = f"{area}/{CMD}", f"{area}/{RET}"
    word = COMMANDS[on]

    def give(transaction: int) -> None:
        _no_other(store, cmd, ret, transaction)
        store.remove(ret, transaction)
        store.write(cmd, word, transaction)

    def tidy(transaction: int) -> None:
        store.remove(cmd, transaction)
        store.remove(ret, transaction)

    if form.atomic:
        store.transact(give)
    else:
        store.remove(ret)  # of an earlier command
        store.write(cmd, word)
    if not form.limit:
        return
    store.watch(ret, ANSWER_TOKEN)
    try:
        _await(form, store, ret, word, waiter)
    finally:
        with suppress(MigrationError):
            store.unwatch(ret, ANSWER_TOKEN)
        if form.atomic or not on:
            # Also where nobody answered, so that the next saver can try.
            with suppress(MigrationError):
                store.transact(tidy)


def _no_other(store: Client, cmd: str, ret: str, transaction: int) -> None:
    """See that no command stands that was not answered.

    :raises PeerError: one does.
    """
    stands = store.find(cmd, transaction)
    answer = store.find(ret, transaction)
    if stands is not None and answer != stands:
        said = "nothing" if answer is None else repr(answer[:32])
        raise PeerError(
            f"{cmd} says {stands[:32]!r} and {ret} {said}: another saver is at work, or "
            "the emulator did not answer one; remove both once that is settled"
        )


def _await(form: Form, store: Client, ret: str, word: bytes, waiter: Waiter) -> None:
    """Wait until the emulator has answered.

    What else it says is its answer to an earlier command, which it may give twice: there were two events about that.
    """
    end = waiter.clock() + form.whole
    what = (
        f"the emulator did not answer {word.decode()!r} within {form.limit:g} s: {ret} should say so; is it running, "
        "and does it take its commands from xenstore?"
    )
    while (answer := store.find(ret)) != word:
        try:
            if waiter.clock() >= end:
                raise LateError(what)
            store.event(ANSWER_TOKEN, min(waiter.clock() + form.limit, end), waiter, what)
        except LateError:
            if answer is None:
                raise
            raise PeerError(f"the emulator answers {answer[:32]!r} to {word.decode()!r} in {ret}") from None
