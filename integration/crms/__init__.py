"""What is particular to a CRM is data: the presets beside this module.

`presets/schemes.yaml` holds blocks of `verify:` settings with a name; the user's own settings override
them key by key. Each other file is a preset of a whole source, in the keys of the rules file; the rules
read it as if the admin had written it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml

from integration import signatures
from integration.signatures import Scheme

_SCHEMES = "schemes.yaml"


@cache
def scheme_presets() -> Mapping[str, Mapping[str, object]]:
    """The named settings for `verify:`, read once from the package."""
    text = files("integration.crms").joinpath(f"presets/{_SCHEMES}").read_text(encoding="utf-8")
    presets: dict[str, Mapping[str, object]] = yaml.safe_load(text)
    return MappingProxyType({name: MappingProxyType(preset) for name, preset in presets.items()})


def scheme_from(settings: Mapping[str, object], *, without_secrets: bool = False) -> Scheme:
    """`signatures.scheme_from`, with the presets. Raises SchemeMistake."""
    return signatures.scheme_from(settings, scheme_presets(), without_secrets=without_secrets)


@cache
def preset_names() -> tuple[str, ...]:
    """The presets of whole sources, in alphabetical order."""
    found = (file.name for file in files("integration.crms").joinpath("presets").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml") and name != _SCHEMES))


@cache
def preset_text(name: str) -> bytes:
    """One preset as it stands in the package. The name must be among `preset_names()`."""
    return files("integration.crms").joinpath(f"presets/{name}.yaml").read_bytes()
