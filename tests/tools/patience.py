"""How long tests wait for another program before they fail, in multiples of what is ample on a small PC."""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("EDGEINFER_TEST_PATIENCE", "1"))
