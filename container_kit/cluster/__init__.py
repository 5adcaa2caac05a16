"""An embedded Kubernetes: API server, scheduler, controllers and nodes in the caller's process."""
