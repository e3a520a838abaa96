"""Running on a table: what happens is looked up, what is to be done is done, and that makes the next thing happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..schema.transitions import Automaton

# An action returns the event that it ends with; "" if the next one comes from elsewhere.
Actions = Mapping[str, Callable[[], str]]
FAILED, ABORT = "failed", "abort"


class Machine:
    """One run of an automaton.  `state` is where it is, `error` the first thing that went wrong.

    :param actions: what is done, by name: all of the automaton's.
    """

    def __init__(self, automaton: Automaton, actions: Actions) -> None:
        missing = automaton.actions.keys() - actions.keys()
        if missing:
            raise ValueError(f"nothing does {', '.join(sorted(missing))}")
        self.automaton = automaton
        self.state = automaton.start
        self.error: BaseException | None = None
        self._actions = actions

    @property
    def ended(self) -> bool:
        """Whether all is over."""
        return self.state in self.automaton.ends

    @property
    def owner(self) -> str:
        """Who may run the guest now, where the automaton is about that."""
        return self.automaton.owners.get(self.state, "")

    def happen(self, event: str) -> None:
        """Let it happen, and all that follows from it.

        An action that raises has failed, whatever it raises: no error leaves anything behind.  What is not even an
        error, such as Ctrl-C, is one more reason to end.
        """
        while event:
            action, self.state = self.automaton.step(self.state, event)
            event = self._do(action) if action else ""

    def fail(self, error: BaseException) -> str:
        """Keep an error, if it is the first; returns the event for it."""
        if self.error is None:
            self.error = error
        return FAILED

    def _do(self, action: str) -> str:
        try:
            return self._actions[action]()
        except Exception as error:
            return self.fail(error)
        except BaseException as error:
            self.fail(error)
            return ABORT
