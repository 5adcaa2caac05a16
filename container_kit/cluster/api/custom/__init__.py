"""Resources that come and go: those of CustomResourceDefinitions, and groups that others serve."""
