"""OpenAPI documents of what is served: version 3, and version 2 in JSON and protobuf."""
