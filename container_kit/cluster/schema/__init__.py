"""What the API's types look like, and what follows from it alone: checks, bodies, patches, owners of fields.

Built-in types come from published data, custom ones from their CRDs; both are `Schema` nodes.  Nothing here
knows of requests or of the store.
"""

from __future__ import annotations

from container_kit.cluster.schema.check import Findings as Findings
from container_kit.cluster.schema.check import check as check
from container_kit.cluster.schema.check import check_against as check_against
from container_kit.cluster.schema.decode import DecodeError as DecodeError
from container_kit.cluster.schema.decode import decode_body as decode_body
from container_kit.cluster.schema.decode import strict_errors as strict_errors
from container_kit.cluster.schema.definitions import GroupVersionKind as GroupVersionKind
from container_kit.cluster.schema.definitions import schema_of as schema_of
from container_kit.cluster.schema.goconvert import as_conversion as as_conversion
from container_kit.cluster.schema.goform import empty_form as empty_form
from container_kit.cluster.schema.goform import go_form as go_form
from container_kit.cluster.schema.goformat import go_format as go_format
from container_kit.cluster.schema.nodes import Schema as Schema
from container_kit.cluster.schema.ownership import Tracker as Tracker
from container_kit.cluster.schema.patches import json_patch as json_patch
from container_kit.cluster.schema.patches import merge_patch as merge_patch
from container_kit.cluster.schema.patches import read_patch as read_patch
from container_kit.cluster.schema.strategic import strategic_merge as strategic_merge

__all__ = [
    "DecodeError",
    "Findings",
    "GroupVersionKind",
    "Schema",
    "Tracker",
    "as_conversion",
    "check",
    "check_against",
    "decode_body",
    "empty_form",
    "go_form",
    "go_format",
    "json_patch",
    "merge_patch",
    "read_patch",
    "schema_of",
    "strategic_merge",
    "strict_errors",
]
