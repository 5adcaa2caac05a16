"""What one does with a cluster, whichever it is: each verb is some calls of a `Client`."""
