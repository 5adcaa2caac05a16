"""The only importer of the compiled library: typed, thin, a negative errno becomes a KernelError.

One module an area: each wraps the C functions that ``_native/cdef/`` declares for it.
"""
