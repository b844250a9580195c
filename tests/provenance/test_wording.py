from typing import Any

from unclip.provenance.wording import problems_of, refusal


def failing(*codes: str, **more: Any) -> dict[str, Any]:
    return {"failure": [{"code": code, "url": "self#jumbf", **more} for code in codes]}


def test_each_problem_is_said_once() -> None:
    results = {"activeManifest": failing("assertion.dataHash.mismatch", "assertion.dataHash.mismatch")}
    assert problems_of(results) == ("the file was changed after it was signed",)


def test_an_expired_certificate_is_a_problem_and_an_unknown_one_is_none() -> None:
    results = {"activeManifest": failing("signingCredential.untrusted", "signingCredential.expired")}
    assert problems_of(results) == ("the signer's certificate has expired",)


def test_a_code_without_words_of_ours_keeps_those_of_c2pa() -> None:
    assert problems_of({"activeManifest": failing("new.code", explanation="it is odd")}) == ("it is odd",)
    assert problems_of({"activeManifest": failing("new.code")}) == ("new.code",)


def test_problems_of_parents_are_told_apart() -> None:
    deltas = [
        {"ingredientAssertionURI": "self#jumbf", "validationDeltas": failing("claimSignature.mismatch")}
    ]
    assert problems_of({"activeManifest": failing(), "ingredientDeltas": deltas}) == (
        "of a picture it was made from: its signature belongs to something else",
    )


def test_nothing_checked_is_nothing_wrong() -> None:
    assert problems_of({}) == problems_of({"activeManifest": None, "ingredientDeltas": None}) == ()


def test_refusals_of_c2pa() -> None:
    assert refusal("Verify: invalid CBOR box", signed=True) == (
        "its Content Credentials cannot be read (Verify: invalid CBOR box)",
    )
    assert refusal("Remote: must fetch remote manifests from url https://a/b", signed=False) == (
        "its Content Credentials are not in it, but at https://a/b: not fetched",
    )
    assert refusal("NotSupported: type is unsupported", signed=False) == ()
