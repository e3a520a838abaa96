"""What a COLO secondary sends, over and over: CHECKPOINT_STATE, by its id, and libxc's list of dirty pages."""

from __future__ import annotations

from .machine import ANY, Machine

COLO_SOURCE = "tools/libs/light/libxl_colo_save.c; tools/libs/light/libxl_colo_restore.c"
# By the state of the machine after it.
RECORDS = {
    "ready": "CHECKPOINT_STATE SVM_READY",
    "resumed": "CHECKPOINT_STATE SVM_RESUMED",
    "suspended": "CHECKPOINT_STATE SVM_SUSPENDED",
    "listed": "libxc.CHECKPOINT_DIRTY_PFN_LIST",
}
# A recording begins anywhere, and may stop after any record.
MACHINE = Machine(
    "back channel",
    "libxl",
    "The secondary's answers: its guest is suspended, its dirty pages, it is ready, its guest has resumed.",
    f"{COLO_SOURCE}; tools/libs/guest/xg_sr_restore.c handle_checkpoint",
    ("LIBXL-CKPTSTATE-ID", "COLO-DIRTY-POS", "COLO-NEW-FWD", "LIBXL-BACK-TYPES"),
    start="anywhere",
    stops=("anywhere", *RECORDS),
    moves=(
        *(("anywhere", (record,), state) for state, record in RECORDS.items()),
        *((last, (RECORDS[state],), state) for last, state in zip(RECORDS, [*list(RECORDS)[1:], "ready"], strict=True)),
    ),
    never=("CHECKPOINT_STATE NEW", ANY, f"libxc.{ANY}"),
)
