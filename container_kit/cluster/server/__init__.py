"""The API over HTTP: connections, TLS, streams and budgets.  What is answered is decided in `cluster.api`."""
