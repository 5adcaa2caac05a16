"""Content-addressed blobs, trees, names, leases, locks and garbage collection below one root directory.

The store never learns what the bytes it keeps mean.
"""
