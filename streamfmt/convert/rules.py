"""What a conversion does to a stream, rule by rule: each line of a report names one of these.

A rule is named as the clause that wants it, where there is one.
"""

from __future__ import annotations

# By what happens to something: what a report calls that.  What is lost was in the input and cannot be said in the
# output; what is dropped means nothing there; for what is refused there is no output.
CHANGED, INSERTED, MAPPED, DROPPED, MENDED, LOST, REFUSED = KINDS = (
    "changed",
    "inserted",
    "mapped",
    "dropped",
    "mended",
    "lost",
    "refused",
)


class Rule:
    """What happens to something, `what` it happens to, and `why`."""

    __slots__ = ("kind", "what", "why")

    def __init__(self, kind: str, what: str, why: str) -> None:
        self.kind = kind
        self.what = what
        self.why = why


RULES = {
    "LIBXC-IHDR-VERSION": Rule(CHANGED, "image version 2 to 3", "Xen 4.14 and later write version 3"),
    "LIBXC-PVINFO-FIRST": Rule(
        CHANGED, "record moved after STATIC_DATA_END", "X86_PV_INFO is static data and comes before that"
    ),
    "LIBXC-SDE-PRESENT": Rule(
        INSERTED, "STATIC_DATA_END", "in version 3 it ends the static data, before memory and state"
    ),
    "LIBXC-HVMPARAMS-PAE": Rule(
        DROPPED, "HVM parameter 4 (PAE_ENABLED)", "obsolete since Xen 4.14: PAE is on in every guest"
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
    "MAP-HEADER": Rule(MAPPED, "p2m_size to the image's headers", "a legacy stream has no headers of its own"),
    "MAP-PV-INFO": Rule(MAPPED, "extended info to X86_PV_INFO", "of its blocks only the guest's width matters"),
    "MAP-NO-EXTINFO": Rule(
        MAPPED, "the toolstack's width to X86_PV_INFO", "without extended info the guest's is the same"
    ),
    "MAP-P2M": Rule(MAPPED, "list of frames to X86_PV_P2M_FRAMES", "each frame number has 64 bits there"),
    "MAP-PAGES": Rule(MAPPED, "batch to PAGE_DATA", "pages stay as they are"),
    "MAP-COMPRESSED": Rule(MAPPED, "compressed page to PAGE_DATA", "new streams have whole pages"),
    "MAP-PAGEDTAB": Rule(CHANGED, "type 8 to NOTAB", "readers of that time took it for an ordinary page"),
    "MAP-VERIFY": Rule(MAPPED, "ENABLE_VERIFY_MODE to VERIFY", "the pages after it are compared only"),
    "MAP-TSC": Rule(MAPPED, "TSC_INFO to X86_TSC_INFO", "the same fields in another order"),
    "MAP-PARAMS": Rule(MAPPED, "chunk to a parameter of HVM_PARAMS", "each has one parameter"),
    "MAP-VCPU": Rule(MAPPED, "vcpu's state to X86_PV_VCPU records", "the bytes of each stay as they are"),
    "MAP-ONLINE": Rule(CHANGED, "flag of vcpu 0 that it is online set", "Xen 3.0 leaves that to the receiver"),
    "LEGACY-XSAVE-SIZE": Rule(
        CHANGED, "XSAVE state of its own length, not that of xcnt", "so Xen 4.2.4, 4.3.1 and later write it"
    ),
    "MAP-SHARED-INFO": Rule(MAPPED, "SHARED_INFO", "the page stays as it is"),
    "MAP-SPECIAL-PAGES": Rule(MAPPED, "special pages of the tail to HVM_PARAMS", "they are HVM parameters"),
    "MAP-HVM-CONTEXT": Rule(MAPPED, "HVM_CONTEXT", "Xen's own format has not changed"),
    "MAP-QEMU": Rule(MAPPED, "device model's state to EMULATOR_CONTEXT", "which emulator's it is is not known"),
    "MAP-QEMU-TRAILER": Rule(
        MAPPED, "device model's state after the image's END", "an image has no record for it; libxl streams do"
    ),
    "MAP-QEMU-RECORD": Rule(
        MAPPED, "device model's state to QEMU_TRAD", "so XAPI's images have that of either emulator"
    ),
    "MAP-GENERATION-ID": Rule(
        MAPPED,
        "address of the generation id to parameter 34",
        "the same place; to Xen 4.4 a counter of 8 bytes is there, which receivers raised, from 4.5 on a GUID of 16",
    ),
    "MAP-TOOLSTACK": Rule(MAPPED, "TOOLSTACK to EMULATOR_XENSTORE_DATA", "physmap entries are xenstore keys now"),
    "MAP-STREAM-FLAG": Rule(CHANGED, "header says that a libxl stream follows", "it was a legacy stream"),
    "MAP-FLATTEN": Rule(CHANGED, "checkpoints to a plain stream", "as of the last that is complete"),
    "MAP-CHECKPOINTS": Rule(MAPPED, "checkpoint, closed by CHECKPOINT", "they are kept"),
    "DROP-XTAB": Rule(DROPPED, "XTAB entries", "they name no page, and their frames may be anything"),
    "DROP-EMPTY-BATCH": Rule(DROPPED, "batch of nothing else", "a PAGE_DATA record has an entry at least"),
    "DROP-UNMAPPED": Rule(DROPPED, "frames without a page", "none of them was sent"),
    "DROP-PARAM-ZERO": Rule(DROPPED, "HVM parameter that is 0", "receivers do not set it"),
    "DROP-IOREQ": Rule(DROPPED, "half of the ioreq servers' parameters", "receivers set both or neither"),
    "DROP-ACPI-IOPORTS": Rule(DROPPED, "place of the ACPI I/O ports", "receivers know 1 only"),
    "DROP-VERIFY": Rule(DROPPED, "ENABLE_VERIFY_MODE", "a checkpointed stream has no VERIFY"),
    "DROP-CUT": Rule(DROPPED, "what follows the last complete checkpoint", "receivers drop it, too"),
    "DROP-TRAILING": Rule(DROPPED, "what follows the stream", "it does not belong to it"),
    "DROP-SIGNATURE": Rule(DROPPED, "signature of XAPI's old image", "it says nothing of the guest"),
    "LOSE-HEADER": Rule(LOST, "header around the stream, with its configuration", "no release after 4.4 reads it"),
    "LOSE-STATE": Rule(
        LOST, "device model's state of a checkpoint", "a bare image has no place for it before the next checkpoint"
    ),
    "LOSE-TMEM": Rule(LOST, "transcendent memory", "Xen 4.13 and later have none"),
    "LOSE-NAME": Rule(LOST, "name of a region in TOOLSTACK", "xenstore's values are printable ASCII"),
    "LOSE-TOOLSTACK": Rule(LOST, "TOOLSTACK", "only a libxl stream of an HVM guest has xenstore keys"),
    "LOSE-UNMAPPED": Rule(LOST, "that pages which were sent were freed", "they stay allocated; no record frees pages"),
    "REFUSE-CHECKPOINTS": Rule(
        REFUSED, "checkpointed stream", "its image lies in pieces, and a XAPI image has it in one"
    ),
    "REFUSE-SECOND": Rule(REFUSED, "second image", "a libxl stream has one"),
    "REFUSE-RECORD": Rule(REFUSED, "record without a place in a libxl stream", "only what follows it knows its end"),
    "REFUSE-XML": Rule(REFUSED, "libvirt file without the guest's XML", "libvirt needs it: see --configuration"),
    "REFUSE-LEGACY": Rule(REFUSED, "legacy stream in a XAPI image", "no release reads it there: convert it first"),
    "XAPI-QEMU-MAX": Rule(REFUSED, "device model's state of over 1,048,576 bytes", "xenopsd takes no more"),
    "REFUSE-LEVELS": Rule(
        REFUSED, "32-bit PV guest without PAE", "its page tables have two levels; Xen has none since 4.3"
    ),
    "REFUSE-BASE": Rule(
        REFUSED, "compressed page that changes one which never came", "only a receiver that has it can tell"
    ),
    "REFUSE-STATE": Rule(
        REFUSED,
        "device model's state that goes on to the end of the input",
        "here more records come after it: take the stream out with streamfmt extract, and convert that",
    ),
    "REFUSE-WIDTH": Rule(
        REFUSED, "stream of a toolstack of another width than declared", "its first bytes show which; declare that one"
    ),
    "REFUSE-NEW": Rule(REFUSED, "stream that is no legacy one", "current releases read it as it is"),
    "REFUSE-BARE": Rule(REFUSED, "bare image in this container", "its readers take a libxl stream only: --to libxl"),
    "REFUSE-LIBXL": Rule(REFUSED, "libxl stream in this container", "its readers take a bare image only: --to libxc"),
}
# Breaches that converting mends by itself.
MENDED_ANYWAY = ("LEGACY-XSAVE-SIZE",)
# Breaches that --repair mends.
MENDABLE = frozenset(name for name, rule in RULES.items() if rule.kind == MENDED)
