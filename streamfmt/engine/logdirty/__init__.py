"""How it is known which frames were written: by the hypervisor, and by the emulator, in all forms since 2007.

`forms` has the forms by release, `hypervisor` the guest's own log, `shared`, `commands` and `qmp` the saver's side of
each way to an emulator, `answering` the emulator's, and `merged` makes one source of both.
"""
