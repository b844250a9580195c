"""What is wrong with a signature, in words, where C2PA has codes."""

from collections.abc import Iterator, Mapping
from typing import Any

_WORDS = {
    "assertion.dataHash.mismatch": "the file was changed after it was signed",
    "assertion.hashedURI.mismatch": "what it says of itself was changed after it was signed",
    "claimSignature.mismatch": "its signature belongs to something else",
    "claimSignature.missing": "its signature is missing",
    "signingCredential.expired": "the signer's certificate has expired",
    "signingCredential.invalid": "the signer's certificate may not sign pictures",
    "signingCredential.revoked": "the signer's certificate was revoked",
}


def problems_of(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a validation by c2pa found wrong, each thing once."""
    return tuple(dict.fromkeys(_problems(results)))


def refusal(error: str, signed: bool) -> tuple[str, ...]:
    """Return why c2pa could not read a picture, if there was something to read."""
    if signed:
        return (f"its Content Credentials cannot be read ({error})",)
    if error.startswith("Remote"):
        return (f"its Content Credentials are not in it, but at {error.rpartition(' ')[2]}: not fetched",)
    return ()


def _problems(results: Mapping[str, Any]) -> Iterator[str]:
    yield from _failures(results.get("activeManifest"))
    for delta in results.get("ingredientDeltas") or ():
        for failure in _failures(delta["validationDeltas"]):
            yield f"of a picture it was made from: {failure}"


def _failures(results: Mapping[str, Any] | None) -> Iterator[str]:
    for failure in (results or {}).get("failure", ()):
        code = failure["code"]
        if not code.endswith("untrusted"):  # a signer whom no anchor vouches for is not wrong, only unknown
            yield _WORDS.get(code) or failure.get("explanation") or code
