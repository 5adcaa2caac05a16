"""`Sandbox` for coroutines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from container_kit.aio._work import call

if TYPE_CHECKING:
    from container_kit.containers.options import Command
    from container_kit.containers.sandbox import Sandbox as SyncSandbox
    from container_kit.containers.sandbox import SandboxResult
    from container_kit.containers.workspace import Contents

__all__ = ["Sandbox"]


@attrs.frozen
class Sandbox:
    """A :class:`container_kit.Sandbox` whose runs are awaited: ``aio.Sandbox(ck.Sandbox("tools"))``."""

    sync: SyncSandbox

    async def run(
        self,
        command: Command | None = None,
        *,
        files: Mapping[str, Contents] | None = None,
        collect: Iterable[str] = (),
        input: str | bytes | None = None,
        text: bool = True,
    ) -> SandboxResult:
        """Run *command* to its end, and leave nothing, also when cancelled; see `container_kit.Sandbox`."""
        return await call(
            lambda: self.sync.run(command, files=files, collect=collect, input=input, text=text)
        )
