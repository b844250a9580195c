"""What the tests of checkpoints share: a hub on this machine."""

from hub_endpoint import karlo, local_hub

__all__ = ["karlo", "local_hub"]
