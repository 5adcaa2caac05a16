"""Write container_kit/cluster/api/resources.json from the discovery documents of a Kubernetes server.

    python scripts/generate_resources.py DIRECTORY

DIRECTORY holds what the server answered: `apis.json`, `api_v1.json.gz` and one `apis_GROUP_VERSION.json` for
each group and version.  The order of groups and versions is the server's: clients prefer what comes first.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "container_kit" / "cluster" / "api" / "resources.json"


def read(path: Path) -> Any:
    """A document, packed or not."""
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.exists():
            data = candidate.read_bytes()
            return json.loads(gzip.decompress(data) if candidate.suffix == ".gz" else data)
    raise SystemExit(f"{path} is not there: is {path.parent} a directory of discovery documents?")


def versions(directory: Path) -> list[dict[str, Any]]:
    """Each group and version with its resources, the core first."""
    found = [{"group": "", "version": "v1", "resources": read(directory / "api_v1.json")["resources"]}]
    for group in read(directory / "apis.json")["groups"]:
        for version in group["versions"]:
            name, word = group["name"], version["version"]
            resources = read(directory / f"apis_{name}_{word}.json")["resources"]
            found.append({"group": name, "version": word, "resources": resources})
    return found


def main() -> None:
    """One line for each resource, so that a change of the file can be read."""
    lines = []
    for entry in versions(Path(sys.argv[1])):
        resources = ",\n".join(json.dumps(resource, separators=(",", ":")) for resource in entry["resources"])
        head = json.dumps({"group": entry["group"], "version": entry["version"]}, separators=(",", ":"))
        lines.append(f'{head[:-1]},"resources":[\n{resources}\n]}}')
    TARGET.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
