"""Devices that carry their own state: a model of one, the three interfaces of VFIO to it, and its migration.

`device` is the model; `proposal`, `region` and `states` are what a kernel driver is to QEMU, of 2019, v1 and v2;
`proposal_user`, `region_user` and `states_user` are QEMU's side of each; `marks` is what goes in QEMU's sections, and
`saving` and `loading` are the callbacks by which it does; `packets` is the same over multifd; `user_messages`,
`user_server` and `user_client` speak vfio-user over a Unix socket.
"""
