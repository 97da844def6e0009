"""The Explorer: pages for people who ask what happened, when, and why."""

if __name__ != "whence.web.explorer":
    raise ImportError(
        f"import whence.web.explorer, not {__name__}: the folder belongs to the package whence"
    )
