"""Aggregates as actors: commands decided one by one, in memory, and appended in groups."""

if __name__ != "whence.actors":
    raise ImportError(
        f"import whence.actors, not {__name__}: the folder belongs to the package whence"
    )
