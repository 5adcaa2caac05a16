"""Containers in test suites: fixtures for pytest, and services as data."""
