"""Verdicts, and what came out as plain values.

An :class:`Outcome` is made when the input has ended, for whatever reason.
"""

from __future__ import annotations

from ..reader.events import describe
from ..reader.identify import unread
from ..reader.reader import Reader
from ..reader.registry import READ, ROWS
from .findings import IGNORED, SEVERITIES
from .verifier import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..reader.failure import Failure
    from ..reader.qemu_variant import Variant
    from .findings import Finding

CONFORMS, DOES_NOT_CONFORM, NOT_JUDGED = "conforms", "does not conform", "not judged"


class Outcome:
    """The result of verifying one stream.

    `verdict` is "conforms", "does not conform" or "not judged"; `errors`, `warnings` and `notes` count findings;
    `size` is how many bytes of the uncompressed stream were read or skipped; `identity` is what its first bytes say.
    `failure` is None if the input was read to its end; otherwise it says why not, and the rest covers what came before.

    An outcome has no truth value: ask for `conforms`.
    """

    def __init__(
        self, reader: Reader, verifier: Verifier, strict: bool = False, failure: Failure | None = None
    ) -> None:
        self.verifier = verifier
        self.failure = failure
        self.size = reader.window.position
        identity = reader.identity
        if identity is None:
            assert failure is not None, "an outcome is made when the input has ended"
            identity = unread(failure.reason)
        self.identity = identity
        if failure is not None:
            verifier.ends(self.size)
        findings = verifier.findings
        self.errors, self.warnings, self.notes = map(findings.number, SEVERITIES)
        # Whether rules for the whole of it exist: not for what is only named, nor for such a thing in a container.
        judged = identity.key in READ and verifier.unjudged is None and failure is None
        if identity.key in READ and (self.errors or (strict and self.warnings) or (judged and not verifier.complete)):
            self.verdict = DOES_NOT_CONFORM
        elif not judged:
            self.verdict = NOT_JUDGED
        else:
            self.verdict = CONFORMS
        verifier.forget()  # the checks and their context hold one another, until Python looks for such

    def __repr__(self) -> str:
        return f"<Outcome {self.verdict}>"

    def __bool__(self) -> bool:
        # Every object is true by default, and one that is false where its stream does not conform passes for None.
        raise TypeError("an Outcome is neither true nor false; ask for its .conforms")

    @property
    def conforms(self) -> bool:
        """Whether the verdict is that the stream conforms."""
        return self.verdict == CONFORMS

    @property
    def absent(self) -> bool:
        """Whether nothing was read, for a reason that is not the input's: there is nothing to say of a stream."""
        return self.identity.kind == "unread" and self.failure is not None and self.failure.foreign

    @property
    def variants(self) -> list[tuple[str, Variant]]:
        """What could have written layers that show it: path of the layer, and which machine types of which releases."""
        found = [
            (layer.path, layer.facts.variant()) for layer in self.verifier.layers if layer.row.surveys and layer.facts
        ]
        return [(path, variant) for path, variant in found if variant is not None]

    @property
    def unmet(self) -> list[str]:
        """Targets, in words, of programs that nothing in the stream is of."""
        verifier = self.verifier
        kinds = {layer.row.target[0] for layer in verifier.layers}
        return [target.words for kind, target in verifier.targets.items() if kind not in kinds]

    @property
    def findings(self) -> list[Finding]:
        """Breaches in the order in which they were found: the first 100 of each clause."""
        return self.verifier.findings.kept

    @property
    def counts(self) -> dict[str, int]:
        """How often each clause was broken, kept or not."""
        return self.verifier.findings.counts

    def as_dict(self, name: str = "") -> dict[str, Any]:
        """The outcome as plain values, as in spec/json/verify.json; `name` is the input's."""
        from ..reader.identification import named  # few want it as values

        verifier, findings = self.verifier, self.verifier.findings
        stopped, unjudged = verifier.stopped, verifier.unjudged
        return {
            "format": "streamfmt-verify-3",
            **named(name),
            "verdict": self.verdict,
            "status": self.status,
            "failure": self.failure.as_dict() if self.failure else None,
            "identity": {name: getattr(self.identity, name) for name in ("key", "kind", "name", "evidence")},
            "layers": [
                {
                    "path": layer.path,
                    "version": layer.version,
                    "byte_order": layer.byte_order,
                    "guest": layer.guest if layer.row.image else None,
                    "xen": list(layer.xen) if layer.row.image and layer.row.version else None,
                    "records": layer.index,
                }
                for layer in verifier.layers
            ],
            "variants": [{"layer": path} | variant.as_dict() for path, variant in self.variants],
            "targets": [
                *({"layer": path, "target": words} for path, words in verifier.aimed.items()),
                *({"layer": None, "target": words} for words in self.unmet),
            ],
            "bytes": self.size,
            "records": verifier.records,
            "page_entries": verifier.page_entries,
            "pages_with_content": verifier.content_pages,
            "checkpoints": verifier.checkpoints,
            "errors": self.errors,
            "warnings": self.warnings,
            "notes": self.notes,
            "counts": dict(sorted(findings.counts.items())),
            "last": {clause: findings.last(clause)[0] for clause in sorted(findings.counts)},
            "ignored": ignored(self),
            "findings": [finding.as_dict() | {"hint": hint_of(finding.clause)} for finding in findings.kept],
            "stopped": {"offset": stopped[0], "reason": stopped[1]} if stopped else None,
            "unjudged": {"offset": unjudged[0], "name": unjudged[1].name, "evidence": unjudged[1].evidence}
            if unjudged
            else None,
            "abstained": dict(sorted(verifier.abstained.items())),
        }

    @property
    def status(self) -> int:
        """Exit status: 0 if the stream conforms, otherwise 1; that of `failure` if it is worse."""
        return max(int(not self.conforms), self.failure.status if self.failure else 0)

    def describe(self) -> str:
        """What the stream is, in a few words: "libxl v2 > libxc v3, x86 HVM, Xen 4.17"."""
        row = ROWS.get(self.identity.key)
        return (self.identity.name if row and row.look else describe(self.verifier.layers)) or self.identity.name


def judged(reader: Reader, verifier: Verifier, strict: bool, failure: Failure | None) -> Outcome:
    """What came out.  Raises ValueError if there were channels, and what has been read is no migration of QEMU."""
    outcome = Outcome(reader, verifier, strict, failure)
    if verifier.channels and not verifier.channels_judged and failure is None:
        begun = bool(verifier.layers) and verifier.layers[0].row.surveys
        # One that breaks off has been a migration, and does not conform by itself.
        if verifier.complete or not begun:
            raise ValueError(f"it has no channels, since it is no migration of QEMU: {outcome.describe()}")
    return outcome


def ignored(outcome: Outcome) -> list[str]:
    """The clauses that were broken and that are not to be shown, in order."""
    findings = outcome.verifier.findings
    return sorted(clause for clause in findings.counts if findings.severity[clause] == IGNORED)


def hint_of(clause: str) -> str:
    """What to do about a breach of `clause`."""
    from ..schema.clauses import registry  # texts are loaded only where something is printed with them

    return registry()[clause].hint
