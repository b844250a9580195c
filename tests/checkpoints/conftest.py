"""What the tests of checkpoints share: a hub on this machine."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("hub_endpoint", Path(__file__).parents[1] / "hub_endpoint.py")
assert _spec is not None
assert _spec.loader is not None
_module = sys.modules["hub_endpoint"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

local_hub, karlo = _module.local_hub, _module.karlo
