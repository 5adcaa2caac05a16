"""Words of the OCI specifications as frozen values.  Pure: no I/O."""
