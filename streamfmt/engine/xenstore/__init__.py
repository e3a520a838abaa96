"""Xenstore: the tree of small values by which the programs around a Xen guest find each other, and wait.

`wire` has its messages, `tree` its nodes and transactions, `store` what requests do, `server` a service on a Unix
socket and `client` the other side, which talks to Xen's own xenstored just as well.
"""
