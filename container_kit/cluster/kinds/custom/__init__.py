"""Custom resources: what a CustomResourceDefinition says about its objects, and what may be said there."""
