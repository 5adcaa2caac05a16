"""The generated data is what its sources say."""

import gzip
import importlib.util
import json
import re
from pathlib import Path

from container_kit.cluster.schema import check, schema_of
from container_kit.cluster.schema.definitions import kinds, read_data

REPOSITORY = Path(__file__).parents[3]
RECORDED = REPOSITORY / "tests/cluster/recorded"


def test_data_files_are_fresh() -> None:
    """What the generator makes today is what is in the repository."""
    spec = importlib.util.spec_from_file_location(
        "kubernetes_schema", REPOSITORY / "tools/kubernetes_schema.py"
    )
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)

    for name, content in generator.generated().items():
        assert json.loads(read_data(name)) == json.loads(json.dumps(content)), f"{name}: run the generator"


def test_every_recorded_kind_has_a_schema() -> None:
    """Whatever discovery lists can be checked, patched and applied."""
    recorded = json.loads(gzip.decompress((RECORDED / "discovery/apis.aggregated.v2.json.gz").read_bytes()))

    found = set(kinds())
    for group in recorded["items"]:
        for version in group["versions"]:
            for resource in version["resources"]:
                kind = (group["metadata"]["name"], version["version"], resource["responseKind"]["kind"])
                assert kind in found, kind


def test_no_recorded_object_has_an_unknown_field() -> None:
    """Everything that a real server stored passes the check."""
    text = gzip.decompress((RECORDED / "defaults.json.gz").read_bytes()).decode()
    cases = json.loads(re.sub('"<node-port-[0-9]+>"', "30000", text))["cases"]

    for case in cases:
        if case["status"] >= 300 or "example.com" in case["stored"]["apiVersion"]:
            continue
        stored = case["stored"]
        group, _, version = stored["apiVersion"].rpartition("/")
        assert schema_of((group, version, stored["kind"])) is not None, stored["kind"]
        findings = check(stored, (group, version, stored["kind"]))
        assert findings.unknown_fields == [], case["id"]
        errors = [text for text in findings.errors if "<" not in text]  # times and tokens are placeholders
        assert errors == [], case["id"]
