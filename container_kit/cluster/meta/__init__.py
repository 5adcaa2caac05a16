"""The words that all parts of a cluster share: objects, times, quantities, selectors, names, errors. No
I/O."""

from __future__ import annotations

from container_kit.cluster.meta.fields import EVERY_FIELD as EVERY_FIELD
from container_kit.cluster.meta.fields import FieldSelector as FieldSelector
from container_kit.cluster.meta.hashing import safe_encoded as safe_encoded
from container_kit.cluster.meta.hashing import template_hash as template_hash
from container_kit.cluster.meta.labels import EVERYTHING as EVERYTHING
from container_kit.cluster.meta.labels import NOTHING as NOTHING
from container_kit.cluster.meta.labels import LabelSelector as LabelSelector
from container_kit.cluster.meta.labels import SelectorError as SelectorError
from container_kit.cluster.meta.names import generated_name as generated_name
from container_kit.cluster.meta.objects import Key as Key
from container_kit.cluster.meta.objects import Object as Object
from container_kit.cluster.meta.objects import annotations_of as annotations_of
from container_kit.cluster.meta.objects import condition_of as condition_of
from container_kit.cluster.meta.objects import controller_of as controller_of
from container_kit.cluster.meta.objects import copy_of as copy_of
from container_kit.cluster.meta.objects import group_of as group_of
from container_kit.cluster.meta.objects import group_version as group_version
from container_kit.cluster.meta.objects import is_controlled_by as is_controlled_by
from container_kit.cluster.meta.objects import is_deleting as is_deleting
from container_kit.cluster.meta.objects import key_of as key_of
from container_kit.cluster.meta.objects import labels_of as labels_of
from container_kit.cluster.meta.objects import name_of as name_of
from container_kit.cluster.meta.objects import namespace_of as namespace_of
from container_kit.cluster.meta.objects import new_uid as new_uid
from container_kit.cluster.meta.objects import owner_reference as owner_reference
from container_kit.cluster.meta.objects import set_condition as set_condition
from container_kit.cluster.meta.objects import split_group_version as split_group_version
from container_kit.cluster.meta.objects import uid_of as uid_of
from container_kit.cluster.meta.quantities import canonical_quantity as canonical_quantity
from container_kit.cluster.meta.quantities import format_quantity as format_quantity
from container_kit.cluster.meta.quantities import millis as millis
from container_kit.cluster.meta.quantities import quantity as quantity
from container_kit.cluster.meta.quantities import whole as whole
from container_kit.cluster.meta.scaled import scaled_value as scaled_value
from container_kit.cluster.meta.status import FieldError as FieldError
from container_kit.cluster.meta.status import StatusError as StatusError
from container_kit.cluster.meta.times import Clock as Clock
from container_kit.cluster.meta.times import FakeClock as FakeClock
from container_kit.cluster.meta.times import format_micro_time as format_micro_time
from container_kit.cluster.meta.times import format_time as format_time
from container_kit.cluster.meta.times import microtime as microtime
from container_kit.cluster.meta.times import parse_time as parse_time
from container_kit.cluster.meta.times import timestamp as timestamp

__all__ = [
    "EVERYTHING",
    "EVERY_FIELD",
    "NOTHING",
    "Clock",
    "FakeClock",
    "FieldError",
    "FieldSelector",
    "Key",
    "LabelSelector",
    "Object",
    "SelectorError",
    "StatusError",
    "annotations_of",
    "canonical_quantity",
    "condition_of",
    "controller_of",
    "copy_of",
    "format_micro_time",
    "format_quantity",
    "format_time",
    "generated_name",
    "group_of",
    "group_version",
    "is_controlled_by",
    "is_deleting",
    "key_of",
    "labels_of",
    "microtime",
    "millis",
    "name_of",
    "namespace_of",
    "new_uid",
    "owner_reference",
    "parse_time",
    "quantity",
    "safe_encoded",
    "scaled_value",
    "set_condition",
    "split_group_version",
    "template_hash",
    "timestamp",
    "uid_of",
    "whole",
]
