"""A device model beside the guest: a process that writes guest memory as DMA does, unseen by the hypervisor's log.

`dma` is what it writes and by what that shows if any is lost, `process` the process, `handle` what its owner has of
it, `record` its state as QEMU saves one, and `monitor` its QMP.
"""
