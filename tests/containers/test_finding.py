"""An image that is not here is pulled, unless that was ruled out; a plain name fails fast without network."""

from __future__ import annotations

import pytest

import container_kit as ck
from container_kit.containers.finding import find_image
from tests.registry.docker_registry import free_port


@pytest.mark.timeout(30)
def test_a_plain_name_that_nobody_has_is_told_at_once(engine: ck.Engine) -> None:
    """No image of this name is here, and no registry can be asked: one sentence, within seconds."""
    with pytest.raises(ck.NotFound, match="no image named 'certainly-not-there': it is not here, and cannot"):
        find_image(engine, "certainly-not-there")


def test_a_registry_that_is_named_but_not_there_is_unreachable(engine: ck.Engine) -> None:
    """The error says which host, which address and how often it was tried."""
    port = free_port()

    with pytest.raises(ck.Unreachable, match=rf"127.0.0.1:{port}.*tried 3 times: Connection refused"):
        find_image(engine, f"127.0.0.1:{port}/team/app")


def test_never_asks_no_registry(engine: ck.Engine) -> None:
    """With the policy "never", only what is in the store counts; an id is never looked for elsewhere."""
    with pytest.raises(ck.NotFound, match="load, import, build or pull"):
        find_image(engine, "127.0.0.1:1/team/app", "never")
    with pytest.raises(ck.NotFound):
        find_image(engine, "0123456789ab")
    with pytest.raises(ck.InvalidInput, match="'sometimes' is none of always, missing, never"):
        find_image(engine, "tools", "sometimes")  # type: ignore[arg-type]
