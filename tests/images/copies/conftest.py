"""A store and a registry for the tests of copies."""

from tests.registry.client.conftest import engine, no_stored_credentials, registry

__all__ = ["engine", "no_stored_credentials", "registry"]
