"""The compiled library as the type checker sees it: names only, the wrappers give the types."""

from typing import Any

ffi: Any
lib: Any
