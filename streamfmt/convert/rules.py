"""What a conversion does to a stream, rule by rule: each line of a report names one of these.

A rule is named as the clause that wants it, where there is one.
"""

from __future__ import annotations

# By what happens to something: what a report calls that.  What is lost was in the input and cannot be said in the
# output; what is dropped means nothing there.
CHANGED, INSERTED, DROPPED, MENDED, LOST = KINDS = ("changed", "inserted", "dropped", "mended", "lost")


class Rule:
    """What happens to something, `what` it happens to, and `why`."""

    __slots__ = ("kind", "what", "why")

    def __init__(self, kind: str, what: str, why: str) -> None:
        self.kind = kind
        self.what = what
        self.why = why


RULES = {
    "LIBXC-IHDR-VERSION": Rule(CHANGED, "image version 2 to 3", "Xen 4.14 and later write version 3"),
    "LIBXC-SDE-PRESENT": Rule(
        INSERTED, "STATIC_DATA_END", "in version 3 it ends the static data, before memory and state"
    ),
    "LIBXC-HVMPARAMS-PAE": Rule(
        DROPPED, "HVM parameter 4 (PAE_ENABLED)", "obsolete since Xen 4.14: PAE is on in every guest"
    ),
    "LIBXC-PVINFO-FIRST": Rule(
        CHANGED, "record moved after STATIC_DATA_END", "X86_PV_INFO is static data and comes before that"
    ),
    "LIBXC-ERRATA-1": Rule(MENDED, "empty records left out", "Xen 4.6 to 4.8 wrote them, and 4.9 and 4.10 refuse them"),
    "XL-FLAG-STREAM": Rule(MENDED, "flag of xl's header set to the stream inside", "readers go by it and do not look"),
    "LIBVIRT-VERSION-STREAM": Rule(
        MENDED, "version of libvirt's header set to the stream inside", "libvirt wrote 1 for any stream until May 2016"
    ),
    "COLO-DIRTY-HDR": Rule(
        MENDED, "8 zeros between a dirty list's header and its frames", "secondaries of Xen 4.18 and later write them"
    ),
    "WRAPPER": Rule(CHANGED, "the wrapper", "--container asks for it"),
    "LIBXL": Rule(INSERTED, "a libxl stream around the image", "it is what is wrapped elsewhere"),
    "XENOPS": Rule(INSERTED, "XENOPS with the time and the word size", "xenopsd needs one: see --configuration"),
    "EMULATOR": Rule(INSERTED, "which emulator the state is of", "a XAPI image does not say: see --emulator"),
    "CONFIGURATION": Rule(
        LOST, "the guest's configuration", "the new wrapper has another form for it, or no place: see --configuration"
    ),
    "CONFIGURATION-GIVEN": Rule(CHANGED, "the guest's configuration", "another was given with --configuration"),
    "XENSTORE": Rule(LOST, "the device model's xenstore keys", "a XAPI image has no place for them"),
    "EMULATOR-ID": Rule(LOST, "which emulator the state is of", "a XAPI image does not say that: see --emulator"),
    "LEGACY-BIT": Rule(LOST, "the mark of a converted legacy stream", "a XAPI image has no place for it"),
    "VARSTORE": Rule(LOST, "the guest's UEFI variables", "a libxl stream has no place for them"),
    "VTPM": Rule(LOST, "the state of a virtual TPM", "a libxl stream has no place for it"),
    "HANDSHAKE": Rule(DROPPED, "what a capture has around the stream", "it is no part of the stream"),
    "AFTER-END": Rule(DROPPED, "what follows the end", "known tools leave it there, and it means nothing"),
    "AFTER-END-UNKNOWN": Rule(LOST, "what follows the end", "nothing is known of it"),
    "LIBXL-EMUXS-OMIT": Rule(MENDED, "EMULATOR_XENSTORE_DATA without pairs left out", "writers leave it out"),
}
# Breaches that --repair mends.
MENDABLE = frozenset(name for name, rule in RULES.items() if rule.kind == MENDED)
