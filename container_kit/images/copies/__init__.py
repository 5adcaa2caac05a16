"""Copies of images between places: registries, OCI layouts, archives and the store.

Nothing is unpacked on the way and no digest changes.  `place` says what a place can do, each other module
is one kind of place, `names` says which one a name means, and `copier` walks from the top document down.
"""
