"""The tool is run from the repository's top folder and not installed; its tests find it there too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
