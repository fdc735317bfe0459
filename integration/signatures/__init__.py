"""Whether a webhook comes from the holder of a secret: one verifier, whose parameters are data.

    scheme = scheme_from({"scheme": "hmac", "header": "X-Signature", "prefix": "sha256=", "secret": "..."})
    verdict = verify(scheme, request, now)      # Verified or Refused; never raises

Presets by a vendor's name are data of `integration.crms`; its `scheme_from(settings)` knows them.
"""

from integration.signatures.build import scheme_from
from integration.signatures.check import sign, signed_query, verify
from integration.signatures.doctor import Diagnosis, Suspect, diagnose, likely_cause
from integration.signatures.scheme import Kind, Scheme
from integration.signatures.words import Cause, Refused, SchemeMistake, SignedRequest, Verified

__all__ = [
    "Cause",
    "Diagnosis",
    "Kind",
    "Refused",
    "Scheme",
    "SchemeMistake",
    "SignedRequest",
    "Suspect",
    "Verified",
    "diagnose",
    "likely_cause",
    "scheme_from",
    "sign",
    "signed_query",
    "verify",
]
