"""Registries: the OCI distribution protocol as client and as server, and who may do what."""
