"""The admission plugins that are on by default, in the order of the original.

Each module is one plugin or a few that belong together; `default_plugins` puts them in order. What all of
them are, and how they are asked, is `container_kit.cluster.api.plugins`.
"""

from container_kit.cluster.api.admission.chain import default_plugins

__all__ = ["default_plugins"]
