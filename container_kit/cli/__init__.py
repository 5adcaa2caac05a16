"""The command line ``container-kit`` (short ``ckit``): one module per command group."""
