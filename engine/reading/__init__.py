"""Reading: what the readers of `engine.sources` share. Readers are strangers to each other; this is where
they meet.

*The gate*: `guard` (HDF5), `headers` (NetCDF-3, Zarr, NumPy) and `unpacking` (ZIP, tar, gzip) look at what a
file claims and reaches before anybody believes it. *NetCDF*: `netcdf` opens it late, `axes` and `calendars`
say where and when, `gathering` over what time a reanalysis gathered. *GRIB*: `codes` loads the library,
`messages` tells messages apart, `places` and `accumulations` say where and over what time. *Tables*:
`guessing` with `spellings`, `numerals`, `clocks`, `spaced` and `rtables`. *Maps*: `regrid` brings any
projection to cells, `composites` is what radars share. *Many files*: `collected` makes one source of them,
and `heads` remembers what each holds.
"""
