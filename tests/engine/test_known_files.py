"""Real files: what each holds, found without the reader.

`known/*.yaml` lists files, or folders of them, by their path among the real data. For each it says how its
figures were found (with h5py, eccodes, numpy: never with the reader), and

* ``sum``, ``mean``, ``maximum`` of the known values (mm/h, or the quantity's unit), ``known``: how many;
* ``first``, ``last``: time stamps as the reader must give them, the ends of intervals, UTC;
* ``about``: what the reader is told; ``tolerance``: relative, 1e-5 if not said;
* ``notes``: a text that some note must hold; or ``refused``: a text of the one line that refuses the file.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from engine.fields import Observations
from engine.quantities import notes
from engine.sources import open_any
from engine.values import Invalid

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("RAINLOOM_DATA", ROOT.parent / "shared" / "data"))
KNOWN = [
    entry
    for path in sorted((Path(__file__).parent / "known").glob("*.yaml"))
    for entry in yaml.safe_load(path.read_text())
]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known['file']} {known.get('about', '')}")
def test_a_real_file_holds_what_it_holds(known):
    path = REAL / known["file"]
    if not path.exists():
        pytest.skip("the real files are not here")
    assert known["how"]
    about = known.get("about", {})
    if "refused" in known:
        with pytest.raises(Invalid) as refused:
            open_any(path, **about)
        assert known["refused"] in str(refused.value)
        assert "\n" not in str(refused.value)
        return
    found = open_any(path, **about)
    field = found.rain if isinstance(found, Observations) else found
    values = np.asarray(field.values, float)
    there, close = values[np.isfinite(values)], known.get("tolerance", 1e-5)
    figures = {"sum": np.sum, "mean": np.mean, "maximum": np.max, "known": np.size}
    for name in figures.keys() & known.keys():
        assert figures[name](there) == pytest.approx(known[name], rel=close, abs=1e-9), name
    for name, place in (("first", 0), ("last", -1)):
        assert field.indexes["time"][place] == pd.Timestamp(known[name])
    assert known.get("notes", "") in "\n".join(notes(field))
