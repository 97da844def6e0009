"""The HTTP front end: routes, documents and problems made from the domain."""

if __name__ != "whence.web":
    raise ImportError(
        f"import whence.web, not {__name__}: the folder belongs to the package whence"
    )
