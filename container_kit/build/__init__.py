"""Builds: a Dockerfile, or Python, becomes a graph of steps whose results are kept by their inputs."""
