"""Read models that follow the feed, each event applied exactly once."""

if __name__ != "whence.projections":
    raise ImportError(
        f"import whence.projections, not {__name__}: the folder belongs to the package whence"
    )
