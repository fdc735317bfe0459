"""What is particular to a CRM is data: the presets beside this module.

A preset of `presets/schemes.yaml` is a block of `verify:` settings with a name; the user's own settings
override it key by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml

from integration import signatures
from integration.signatures import Scheme


@cache
def scheme_presets() -> Mapping[str, Mapping[str, object]]:
    """The named settings for `verify:`, read once from the package."""
    text = files("integration.crms").joinpath("presets/schemes.yaml").read_text(encoding="utf-8")
    presets: dict[str, Mapping[str, object]] = yaml.safe_load(text)
    return MappingProxyType({name: MappingProxyType(preset) for name, preset in presets.items()})


def scheme_from(settings: Mapping[str, object], *, without_secrets: bool = False) -> Scheme:
    """`signatures.scheme_from`, with the presets. Raises SchemeMistake."""
    return signatures.scheme_from(settings, scheme_presets(), without_secrets=without_secrets)
