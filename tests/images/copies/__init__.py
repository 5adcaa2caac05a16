"""Copies between places."""
