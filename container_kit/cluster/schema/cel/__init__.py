"""CEL: expressions that people write into definitions and policies, run at a bounded cost.

Text in, plain values in, plain values out.  An expression is parsed into a small tree (`parsing`), made into
nested functions once (`program`), and run with a meter (`meter`): every step and every piece of text costs,
and what costs too much is stopped, so that a rule of three nested loops cannot hold up the server.

Source: Common Expression Language, "Language Definition"; Kubernetes, "Common Expression Language in
Kubernetes".
"""

from __future__ import annotations

from container_kit.cluster.schema.cel.meter import Meter, TooCostly
from container_kit.cluster.schema.cel.parsing import CelError
from container_kit.cluster.schema.cel.program import Program, compile_expression
from container_kit.cluster.schema.cel.values import NOTHING, Optional

__all__ = ["NOTHING", "CelError", "Meter", "Optional", "Program", "TooCostly", "compile_expression"]
