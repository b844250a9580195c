"""What is signed: who made a picture, with what, and from which pictures, in C2PA's words."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from unclip.imagefiles import SourceType
from unclip.provenance.content_credentials import Ingredient

Action: TypeAlias = Literal["c2pa.created", "c2pa.edited"]

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MODEL, MODEL_HASH = "unclip.model", "unclip.model_hash"  # among an action's parameters


@dataclass(frozen=True)
class Parent:
    """A picture that another is made from."""

    data: bytes  # as it came: its own manifest, if it has one, is carried on
    mime: str
    title: str  # everybody can read it


@dataclass(frozen=True)
class Manifest:
    """What is said of a picture: nothing of who asked for it, nor in which words.

    A created picture is new in every pixel, and its parents were only looked at. An edited one is its first
    parent, opened and changed; any others were looked at.
    """

    title: str  # everybody can read it
    source_type: SourceType
    action: Action
    agent: str  # the program and its version, as "unclip 0.1.0"
    model: str
    parents: tuple[Parent, ...] = ()  # at least one for an edited picture
    model_hash: str | None = None


def definition(manifest: Manifest, mime: str) -> dict[str, Any]:
    """Return what c2pa signs, but for the ingredients."""
    return {
        "title": manifest.title,
        "format": mime,
        "claim_generator_info": [_agent(manifest)],
        "assertions": [
            {"label": "c2pa.actions.v2", "created": True, "data": {"actions": _actions(manifest)}}
        ],
    }


def ingredients(manifest: Manifest) -> list[Ingredient]:
    """Return a manifest's parents, each with its part in the picture."""
    return [
        Ingredient(
            {
                "title": parent.title,
                "format": parent.mime,
                "relationship": "parentOf" if manifest.action == "c2pa.edited" and k == 0 else "inputTo",
                "label": label,
            },
            parent.data,
            parent.mime,
        )
        for k, (parent, label) in enumerate(zip(manifest.parents, _labels(manifest), strict=True))
    ]


def _actions(manifest: Manifest) -> list[dict[str, Any]]:
    """Return what was done; C2PA wants to hear first that a picture was created or its parent opened."""
    agent, labels = _agent(manifest), _labels(manifest)
    model = {MODEL: manifest.model, MODEL_HASH: manifest.model_hash}
    parameters: dict[str, Any] = {name: value for name, value in model.items() if value is not None}
    made = {
        "action": manifest.action,
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "softwareAgent": agent,
        "digitalSourceType": f"{SOURCE_TYPES}{manifest.source_type}",
        "parameters": parameters | ({"ingredientIds": labels} if labels else {}),
    }
    if manifest.action == "c2pa.created":
        return [made]
    assert labels, "an edited picture has a parent"
    return [
        {"action": "c2pa.opened", "softwareAgent": agent, "parameters": {"ingredientIds": labels[:1]}},
        made,
    ]


def _labels(manifest: Manifest) -> list[str]:
    """Return how the actions call the parents; c2pa replaces it by its own names."""
    return [f"parent-{k}" for k in range(len(manifest.parents))]


def _agent(manifest: Manifest) -> dict[str, str]:
    name, _, version = manifest.agent.rpartition(" ")
    return {"name": name, "version": version} if name else {"name": version}
