"""Settings to scheme: every check that can be made before the first request is made here.

The settings of each kind stand in tables: `parts` (hmac, hash, ed25519, rsa-sha256), `stamped`
(itsdangerous), `credential` (static) and `jwt`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from integration.signatures import credential, jwt, parts, stamped
from integration.signatures.scheme import Kind, Method, Scheme
from integration.signatures.settings import Settings, nearest
from integration.signatures.words import SchemeMistake

_Builder = Callable[[Kind, Settings, bool, bool], tuple[Method, list[str]]]
_KINDS: dict[Kind, tuple[frozenset[str], _Builder]] = {
    Kind.HMAC: (parts.HMAC_KEYS, parts.build_parts),
    Kind.HASH: (parts.HASH_KEYS, parts.build_parts),
    Kind.ED25519: (parts.PUBLIC_KEYS, parts.build_parts),
    Kind.RSA_SHA256: (parts.PUBLIC_KEYS, parts.build_parts),
    Kind.STATIC: (credential.KEYS, credential.build_credential),
    Kind.JWT: (jwt.KEYS, jwt.build_token),
    Kind.ITSDANGEROUS: (stamped.KEYS, stamped.build_stamped),
}


def scheme_from(
    settings: Mapping[str, object],
    presets: Mapping[str, Mapping[str, object]] | None = None,
    *,
    without_secrets: bool = False,
) -> Scheme:
    """The scheme that these settings describe.

    `presets` are named settings that the user's own override key by key; `integration.crms` has them.
    With `without_secrets` secrets and keys are not looked at, so that a file can be checked without them;
    the result refuses every request with NO_KEY. Raises SchemeMistake.
    """
    chosen = dict(settings)
    name = chosen.pop("scheme", None)
    if not isinstance(name, str) or not name:
        raise SchemeMistake("scheme", f"name the scheme of the signature.{nearest('', list(Kind))}")
    kind, merged, weak_allowed = _merged(name, chosen, presets or {})
    known, build = _KINDS[kind]
    method, warnings = build(kind, Settings(merged, known, name), weak_allowed, without_secrets)
    return Scheme(name, kind, method, tuple(warnings))


def _merged(
    name: str, chosen: dict[str, object], presets: Mapping[str, Mapping[str, object]]
) -> tuple[Kind, dict[str, object], bool]:
    """The kind, all settings, and whether an outdated hash is allowed: only one that a preset itself names."""
    if name in [str(kind) for kind in Kind]:
        return Kind(name), chosen, False
    if name == "none":
        raise SchemeMistake(
            "scheme",
            "there is no scheme without proof: anyone who finds the address could make phones ring. "
            "If the CRM cannot sign, use `static` with a secret in a header or in the address.",
        )
    if name not in presets:
        known = [*[str(kind) for kind in Kind], *presets]
        raise SchemeMistake("scheme", f'"{name[:40]}" is unknown.{nearest(name[:40], known)}')
    preset = dict(presets[name])
    kind = Kind(str(preset.pop("scheme")))
    if kind is Kind.STATIC and credential.PLACE_KEYS.intersection(chosen):
        # The user says where the secret stands, so the preset's own place goes.
        preset = {key: value for key, value in preset.items() if key not in credential.PLACE_KEYS}
    return kind, preset | chosen, "hash" not in chosen
