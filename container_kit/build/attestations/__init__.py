"""Attestations of builds: what is in an image (SBOM) and how it was made (provenance), as in-toto has it."""

from __future__ import annotations
